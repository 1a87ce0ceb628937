/* The floor of a FIX round trip: a TCP server that turns each message into a report of the same size, and does no FIX.
 *
 *   fix_echo          prints the port it listens on, serves one connection after the other until it is killed
 *   fix_echo FILE     the same, but appends to FILE and syncs it before it answers
 *
 * FILE is full of zeros already, so that an append changes no metadata: nobody who keeps orders on this disk answers sooner.
 * Of each message only BodyLength is read; MsgType D becomes 8 and the checksum is corrected by the difference. What a
 * venue takes longer than this is its own; what this takes is the kernel's and the client's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 18, MESSAGE_BYTES_MAX = 8192, ENTRY_BYTES = 192, FILE_BYTES = 64 << 20 };

static const char HEAD[] = "8=FIX.4.4\x01"
                           "9=";

_Noreturn static void stop(const char *what) {
    perror(what);
    exit(1);
}

/* Size of the first message, 0 while incomplete, -1 when it is none. Turns a complete one into its report. */
static long answer(char *data, size_t bytes) {
    size_t at = sizeof HEAD - 1, body = 0;
    if (bytes < at)
        return 0;
    if (memcmp(data, HEAD, at) != 0)
        return -1;
    while (at < bytes && data[at] >= '0' && data[at] <= '9' && body <= MESSAGE_BYTES_MAX)
        body = body * 10 + (size_t)(data[at++] - '0');
    if (body < 5 || body > MESSAGE_BYTES_MAX)
        return at == bytes && body <= MESSAGE_BYTES_MAX ? 0 : -1;
    size_t type = at + 1, sum = type + body + 3, whole = type + body + 7;
    if (whole > bytes)
        return 0;
    if (memcmp(data + type, "35=D", 4) != 0)
        return -1;
    data[type + 3] = '8';
    int checksum = (data[sum] - '0') * 100 + (data[sum + 1] - '0') * 10 + (data[sum + 2] - '0');
    checksum = (checksum + '8' - 'D') & 0xff;
    data[sum] = (char)('0' + checksum / 100);
    data[sum + 1] = (char)('0' + checksum / 10 % 10);
    data[sum + 2] = (char)('0' + checksum % 10);
    return (long)whole;
}

static int send_all(int fd, const char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        data += sent;
        bytes -= (size_t)sent;
    }
    return 0;
}

static int file_open(const char *path) {
    static char zeros[1 << 20];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        stop(path);
    for (long at = 0; at < FILE_BYTES; at += (long)sizeof zeros)
        if (pwrite(fd, zeros, sizeof zeros, at) != (ssize_t)sizeof zeros)
            stop(path);
    if (fsync(fd) != 0)
        stop(path);
    return fd;
}

static void file_append(int fd) {
    static char entry[ENTRY_BYTES] = "an order";
    static long at;
    if (pwrite(fd, entry, sizeof entry, at % (FILE_BYTES - ENTRY_BYTES)) != ENTRY_BYTES || fdatasync(fd) != 0)
        stop("fix_echo: the file");
    at += ENTRY_BYTES;
}

static void serve(int fd, int file, char *buffer) {
    size_t used = 0;
    for (;;) {
        ssize_t got = recv(fd, buffer + used, BUFFER_BYTES - used, 0);
        if (got <= 0)
            return;
        used += (size_t)got;
        size_t done = 0;
        long bytes;
        while ((bytes = answer(buffer + done, used - done)) > 0)
            done += (size_t)bytes;
        if (bytes < 0) {
            fputs("fix_echo: not an order of FIX 4.4; connection closed\n", stderr);
            return;
        }
        if (file >= 0 && done > 0)
            file_append(file);
        if (send_all(fd, buffer, done) != 0)
            return;
        memmove(buffer, buffer + done, used - done);
        used -= done;
    }
}

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    char *buffer = malloc(BUFFER_BYTES);
    int file = count > 1 ? file_open(arguments[1]) : -1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (buffer == NULL || listener < 0 || bind(listener, (struct sockaddr *)&address, bytes) != 0 ||
        listen(listener, 4) != 0 || getsockname(listener, (struct sockaddr *)&address, &bytes) != 0)
        stop("fix_echo: listening");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            stop("fix_echo: accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        serve(fd, file, buffer);
        close(fd);
    }
}
