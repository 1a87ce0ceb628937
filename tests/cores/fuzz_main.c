/* Drives LLVMFuzzerTestOneInput where there is no libFuzzer: mutation of a corpus, guided by the edges that gcc's
 * -fsanitize-coverage=trace-pc reports, from a seed that is printed. It takes libFuzzer's spelling of the options below
 * and, like it, runs files once and fuzzes over folders, the first of which gets what reached something new. It is no
 * libFuzzer: no comparisons are traced and no dictionary is learnt. This file itself must be compiled without coverage.
 *
 *   fuzz_main [-seed=N] [-runs=N] [-max_total_time=S] [-max_len=N] [-artifact_prefix=P] FOLDER... | FILE... */
#define _GNU_SOURCE
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MAP = 1 << 16, INPUTS_MAX = 1 << 14, STEP = 8, LENGTH_MAX = 1 << 14 };

struct input {
    uint8_t *bytes;
    uint64_t size;
};

static struct input corpus[INPUTS_MAX];
static uint64_t corpus_count, random_state, found_features, runs_done;
static uint8_t counts[MAP], seen[MAP];
static uint32_t touched[MAP], touched_count;
static uintptr_t last_pc;
static uint8_t current[LENGTH_MAX];
static uint64_t current_size, max_len = 2400;
static const char *artifact_prefix = "./", *output_folder;

void __sanitizer_cov_trace_pc(void) {
    uintptr_t pc = (uintptr_t)__builtin_return_address(0), mixed = pc * 0x9e3779b97f4a7c15ull >> 40;
    uint32_t at = (uint32_t)((mixed ^ last_pc) % MAP);
    last_pc = mixed >> 1;
    if (counts[at] == 0)
        touched[touched_count++] = at;
    if (counts[at] != 255)
        counts[at]++;
}

/* Every finding ends in an abort, so that one place writes the input down. */
const char *__asan_default_options(void) {
    return "abort_on_error=1:handle_abort=0:detect_leaks=1:allocator_may_return_null=0";
}

const char *__ubsan_default_options(void) {
    return "abort_on_error=1:halt_on_error=1:print_stacktrace=1";
}

static uint64_t draw(uint64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state * 0x2545f4914f6cdd1dull >> 11) % below;
}

static uint64_t hash_of(const uint8_t *bytes, uint64_t size) {
    uint64_t hash = 0xcbf29ce484222325ull;
    for (uint64_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    return hash;
}

static void write_input(const char *prefix, const char *kind, const uint8_t *bytes, uint64_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s%016" PRIx64, prefix, kind, hash_of(bytes, size));
    FILE *file = fopen(path, "wb");
    if (file == 0 || fwrite(bytes, 1, size, file) != size)
        fprintf(stderr, "fuzz_main: cannot write %s\n", path);
    else if (kind[0] == 'c')
        fprintf(stderr, "Test unit written to %s\n", path);
    if (file != 0)
        fclose(file);
}

static void on_abort(int number) {
    signal(number, SIG_DFL);
    write_input(artifact_prefix, "crash-", current, current_size);
    raise(number);
}

/* A count as one of eight bits, so that a loop that ran longer is something new. */
static uint8_t bucket(uint8_t count) {
    static const uint8_t limits[] = {1, 2, 3, 7, 15, 31, 127, 255};
    for (int i = 0; i < 8; i++) {
        if (count <= limits[i])
            return (uint8_t)(1 << i);
    }
    return 0;
}

/* Runs `current`; returns how many edges, or edges that often, were new. */
static uint64_t run_current(void) {
    uint64_t fresh = 0;
    last_pc = 0;
    LLVMFuzzerTestOneInput(current, current_size);
    runs_done++;
    for (uint32_t i = 0; i < touched_count; i++) {
        uint8_t bit = bucket(counts[touched[i]]);
        fresh += (seen[touched[i]] & bit) == 0;
        seen[touched[i]] |= bit;
        counts[touched[i]] = 0;
    }
    touched_count = 0;
    found_features += fresh;
    return fresh;
}

static void keep_current(void) {
    if (corpus_count == INPUTS_MAX)
        return;
    uint8_t *bytes = malloc(current_size ? current_size : 1);
    memcpy(bytes, current, current_size);
    corpus[corpus_count++] = (struct input){bytes, current_size};
}

static int read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == 0)
        return 0;
    current_size = fread(current, 1, LENGTH_MAX, file);
    fclose(file);
    return 1;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_folder(const char *folder) {
    char *names[INPUTS_MAX], path[4096];
    uint64_t count = 0;
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory != 0 && (entry = readdir(directory)) != 0;) {
        if (entry->d_name[0] != '.' && count < INPUTS_MAX)
            names[count++] = strdup(entry->d_name);
    }
    if (directory != 0)
        closedir(directory);
    qsort(names, count, sizeof names[0], by_name); /* the same order on every machine */
    for (uint64_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (!read_file(path))
            continue;
        current_size = current_size < max_len ? current_size : max_len;
        if (run_current() != 0)
            keep_current();
    }
    for (uint64_t i = 0; i < count; i++)
        free(names[i]);
}

static uint64_t steps(void) {
    return current_size / STEP;
}

/* Overwrites, takes out, repeats or brings in whole steps, so that the others keep their meaning. */
static void change_steps(void) {
    uint64_t count = steps(), at = count ? draw(count) * STEP : 0, length = (1 + draw(8)) * STEP;
    uint64_t tail = current_size > at + length ? current_size - at - length : 0;
    switch (draw(4)) {
    case 0: /* take out */
        memmove(current + at, current + at + length, tail);
        current_size = at + tail;
        break;
    case 1: /* repeat */
        if (at + 2 * length + tail > max_len)
            break;
        memmove(current + at + length, current + at, current_size - at);
        current_size += length;
        break;
    case 2: { /* from another input */
        const struct input *other = &corpus[draw(corpus_count)];
        uint64_t from = other->size >= STEP ? draw(other->size / STEP) * STEP : 0;
        length = length < other->size - from ? length : other->size - from;
        if (current_size + length > max_len)
            break;
        memmove(current + at + length, current + at, current_size - at);
        memcpy(current + at, other->bytes + from, length);
        current_size += length;
        break;
    }
    default: /* a new step */
        if (current_size + STEP > max_len)
            break;
        memmove(current + at + STEP, current + at, current_size - at);
        for (int i = 0; i < STEP; i++)
            current[at + (uint64_t)i] = (uint8_t)draw(256);
        current_size += STEP;
    }
}

static void mutate(void) {
    const struct input *base = &corpus[draw(corpus_count)];
    current_size = base->size < max_len ? base->size : max_len;
    memcpy(current, base->bytes, current_size);
    for (uint64_t n = 1 + draw(6); n != 0; n--) {
        uint64_t kind = draw(4);
        if (kind == 0 || current_size == 0) {
            change_steps();
        } else if (kind == 1) {
            current[draw(current_size)] = (uint8_t)draw(256);
        } else if (kind == 2) {
            current[draw(current_size)] ^= (uint8_t)(1 << draw(8));
        } else {
            current[draw(current_size)] += (uint8_t)(draw(17) - 8);
        }
    }
}

static void fuzz(uint64_t seconds, uint64_t runs_max) {
    time_t end = time(0) + (time_t)seconds;
    if (corpus_count == 0)
        keep_current();
    while ((seconds == 0 || time(0) < end) && (runs_max == 0 || runs_done < runs_max)) {
        mutate();
        if (run_current() != 0) {
            keep_current();
            if (output_folder != 0)
                write_input(output_folder, "/", current, current_size);
        }
    }
}

int main(int argc, char **argv) {
    uint64_t seed = 0, runs = 0, seconds = 0, folders = 0;
    signal(SIGABRT, on_abort);
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        if (argv[i][0] != '-' || value == 0)
            continue;
        uint64_t number = strtoull(++value, 0, 10);
        if (strncmp(argv[i], "-seed=", 6) == 0)
            seed = number;
        else if (strncmp(argv[i], "-runs=", 6) == 0)
            runs = number;
        else if (strncmp(argv[i], "-max_total_time=", 16) == 0)
            seconds = number;
        else if (strncmp(argv[i], "-max_len=", 9) == 0)
            max_len = number < LENGTH_MAX ? number : LENGTH_MAX;
        else if (strncmp(argv[i], "-artifact_prefix=", 17) == 0)
            artifact_prefix = value;
    }
    random_state = (seed ? seed : (uint64_t)time(0)) * 0x9e3779b97f4a7c15ull + 1;
    printf("fuzz_main: seed %" PRIu64 "\n", seed);
    for (int i = 1; i < argc; i++) {
        struct stat facts;
        if (argv[i][0] == '-' || stat(argv[i], &facts) != 0)
            continue;
        if (S_ISDIR(facts.st_mode)) {
            if (folders++ == 0)
                output_folder = argv[i];
            read_folder(argv[i]);
        } else if (read_file(argv[i])) {
            run_current();
        }
    }
    if (folders != 0)
        fuzz(seconds, runs);
    printf("Done %" PRIu64 " runs, %" PRIu64 " features, %" PRIu64 " inputs kept\n", runs_done, found_features,
           corpus_count);
    return 0;
}
