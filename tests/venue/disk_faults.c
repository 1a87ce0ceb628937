/* Preloaded into an engine's process: makes one system call on a file of the journal fail, as a disk would.
 *
 * FAULT_CALL: pwrite, fdatasync or short; FAULT_AFTER: how many such calls go through first; FAULT_ERRNO: the error;
 * FAULT_FILE: how the file's name ends, .journal by default.
 * `short` writes half of what is asked, at every call: no error at all. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int applies(int fd, const char *call) {
    static long seen;
    char link[64], path[4096];
    const char *wanted = getenv("FAULT_CALL");
    if (wanted == 0 || strcmp(wanted, call) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    const char *file = getenv("FAULT_FILE") != 0 ? getenv("FAULT_FILE") : ".journal";
    ssize_t ending = (ssize_t)strlen(file);
    if (length < ending || strncmp(path + length - ending, file, (size_t)ending) != 0)
        return 0;
    return seen++ >= atol(getenv("FAULT_AFTER"));
}

static ssize_t write_through(int fd, const void *data, size_t bytes, off_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (real == 0)
        real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    if (applies(fd, "pwrite")) {
        errno = atoi(getenv("FAULT_ERRNO"));
        return -1;
    }
    if (bytes > 1 && applies(fd, "short"))
        bytes = bytes / 2;
    return real(fd, data, bytes, offset);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    return write_through(fd, data, bytes, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) {
    return write_through(fd, data, bytes, offset);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (real == 0)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (applies(fd, "fdatasync")) {
        errno = atoi(getenv("FAULT_ERRNO"));
        return -1;
    }
    return real(fd);
}
