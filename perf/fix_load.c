/* A broker that loads a FIX 4.4 venue: pipelined orders with a bounded number in flight, then one order at a time, then
 * orders by the clock (`--paced` of them, `--rate` a second), whose time runs from when each was due, sent or not.
 *
 *   fix_load --host 127.0.0.1 --port N --sender COMP --target COMP --symbol S [--username U --password P] ...
 *
 * Every order is a limit buy of one unit that rests, so each gives exactly one ExecutionReport; prices are spread over
 * `--levels` of them by a seeded generator. Prints one JSON object. It never trusts a server: body length, checksum,
 * ClOrdID and ExecType of every report are checked, and anything but the expected report ends the run with its text.
 * With --cancel its orders are cancelled before it logs out (q), so that the book is as it was.
 * With --start-ns nothing is measured before that CLOCK_MONOTONIC time, so that several begin together.
 * With --no-logon it speaks to the echo server, which returns each message as a report of the same size.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 18, MESSAGE_BYTES_MAX = 8192, SILENCE_SECONDS_MAX = 20, HEARTBEAT_SECONDS = 30 };

struct options {
    const char *host, *sender, *target, *symbol, *account, *username, *password, *prefix;
    uint64_t port, window, warm, pipelined, pingpong, price_ticks, levels, decimals, seed, server_pid;
    uint64_t paced, rate, start_ns;
    bool logon, cancel;
};

/* Fields of a received message that matter here; text points into the input buffer. */
struct field {
    const char *text;
    size_t bytes;
};
struct message {
    struct field type, clordid, exec_type, reason, test_request;
    size_t bytes;
};

struct broker {
    const struct options *options;
    int fd;
    char *in, *out;
    size_t in_begin, in_end, out_begin, out_end;
    uint64_t sequence, orders, reports, random, order_bytes, report_bytes;
    uint64_t cancelled;
    bool logged_on, logged_out, leaving;
    time_t second;
    char second_text[32];
};

_Noreturn static void stop(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("fix_load: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- writing messages ---- */

static char *put(char *at, const char *text) {
    while (*text != '\0')
        *at++ = *text++;
    return at;
}

static char *put_number(char *at, uint64_t value, unsigned digits_min) {
    char digits[20];
    unsigned count = 0;
    for (; value != 0 || count < digits_min; value /= 10)
        digits[count++] = (char)('0' + value % 10);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static char *put_field(char *at, const char *tag, const char *value) {
    at = put(at, tag);
    at = put(at, value);
    *at++ = '\x01';
    return at;
}

static char *put_price(char *at, const struct options *options, uint64_t ticks) {
    uint64_t unit = 1;
    for (uint64_t i = 0; i < options->decimals; i++)
        unit *= 10;
    at = put_number(put(at, "44="), ticks / unit, 1);
    if (options->decimals != 0)
        at = put_number(put(at, "."), ticks % unit, (unsigned)options->decimals);
    *at++ = '\x01';
    return at;
}

static char *put_time(struct broker *broker, char *at, const char *tag) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != broker->second) {
        struct tm utc;
        broker->second = now.tv_sec;
        gmtime_r(&now.tv_sec, &utc);
        strftime(broker->second_text, sizeof broker->second_text, "%Y%m%d-%H:%M:%S.", &utc);
    }
    at = put(put(at, tag), broker->second_text);
    at = put_number(at, (uint64_t)now.tv_nsec / 1000000, 3);
    *at++ = '\x01';
    return at;
}

/* The standard header from MsgType(35) on; the body goes behind it, then `queue` frames the whole. */
static char *begin(struct broker *broker, char *at, const char *type) {
    at = put_field(at, "35=", type);
    at = put_field(at, "49=", broker->options->sender);
    at = put_field(at, "56=", broker->options->target);
    at = put_number(put(at, "34="), ++broker->sequence, 1);
    *at++ = '\x01';
    return put_time(broker, at, "52=");
}

/* Appends BeginString, BodyLength, the body and CheckSum to the output buffer; returns the size of the message. */
static size_t queue(struct broker *broker, const char *body, size_t bytes) {
    if (BUFFER_BYTES - broker->out_end < bytes + 64)
        stop("output buffer full");
    char *first = broker->out + broker->out_end, *at = put(first, "8=FIX.4.4\x01"
                                                                  "9=");
    at = put_number(at, bytes, 1);
    *at++ = '\x01';
    memcpy(at, body, bytes);
    at += bytes;
    unsigned sum = 0;
    for (const char *c = first; c < at; c++)
        sum += (unsigned char)*c;
    at = put_number(put(at, "10="), sum & 0xff, 3);
    *at++ = '\x01';
    broker->out_end += (size_t)(at - first);
    return (size_t)(at - first);
}

static void queue_session(struct broker *broker, const char *type, const char *fields) {
    char body[1024], *at = begin(broker, body, type);
    if (strlen(fields) + (size_t)(at - body) >= sizeof body)
        stop("user name or password too long");
    at = put(at, fields);
    queue(broker, body, (size_t)(at - body));
}

static size_t clordid(const struct options *options, uint64_t number, char *text) {
    return (size_t)(put_number(put(text, options->prefix), number, 8) - text);
}

static void queue_order(struct broker *broker) {
    const struct options *options = broker->options;
    char body[512], *at = begin(broker, body, "D");
    uint64_t x = broker->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    at = put(at, "11=");
    at += clordid(options, ++broker->orders, at);
    *at++ = '\x01';
    if (*options->account != 0)
        at = put_field(at, "1=", options->account);
    at = put_field(at, "55=", options->symbol);
    at = put(at, "54=1\x01");
    at = put_time(broker, at, "60=");
    at = put(at, "38=1\x01"
                 "40=2\x01");
    at = put_price(at, options, options->price_ticks + (x ^ x >> 31) % options->levels);
    at = put(at, "59=0\x01");
    broker->order_bytes = queue(broker, body, (size_t)(at - body));
}

/* ---- the socket ---- */

static void connect_to(struct broker *broker) {
    const struct options *options = broker->options;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    struct timeval silence = {.tv_sec = SILENCE_SECONDS_MAX};
    int one = 1;
    if (inet_pton(AF_INET, options->host, &address.sin_addr) != 1)
        stop("--host %s is not an IPv4 address", options->host);
    broker->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (broker->fd < 0 || connect(broker->fd, (struct sockaddr *)&address, sizeof address) != 0)
        stop("cannot connect to %s:%" PRIu64 ": %s", options->host, options->port, strerror(errno));
    setsockopt(broker->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(broker->fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    setsockopt(broker->fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
}

/* Sends what is queued, all of it or (flags MSG_DONTWAIT) what fits; returns true when something was sent. */
static bool flush(struct broker *broker, int flags) {
    bool sent = false;
    while (broker->out_begin < broker->out_end) {
        ssize_t done = send(broker->fd, broker->out + broker->out_begin, broker->out_end - broker->out_begin,
                            MSG_NOSIGNAL | flags);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && flags != 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return sent;
        if (done < 0)
            stop("sending: %s", strerror(errno));
        broker->out_begin += (size_t)done;
        sent = true;
    }
    broker->out_begin = broker->out_end = 0;
    return sent;
}

/* Reads once; returns false when nothing was there (only with MSG_DONTWAIT). */
static bool fill(struct broker *broker, int flags) {
    if (broker->in_begin > 0) {
        memmove(broker->in, broker->in + broker->in_begin, broker->in_end - broker->in_begin);
        broker->in_end -= broker->in_begin;
        broker->in_begin = 0;
    }
    ssize_t done = recv(broker->fd, broker->in + broker->in_end, BUFFER_BYTES - broker->in_end, flags);
    if (done < 0 && (errno == EINTR || (flags != 0 && (errno == EAGAIN || errno == EWOULDBLOCK))))
        return false;
    if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        stop("no answer for %d s after %" PRIu64 " of %" PRIu64 " reports", SILENCE_SECONDS_MAX, broker->reports,
             broker->orders);
    if (done < 0)
        stop("receiving: %s", strerror(errno));
    if (done == 0)
        stop("the server closed the connection after %" PRIu64 " reports", broker->reports);
    broker->in_end += (size_t)done;
    return true;
}

/* ---- reading messages ---- */

static const char HEAD[] = "8=FIX.4.4\x01"
                           "9=";

/* Size of the first message of the input, or 0 while it is not complete. */
static size_t frame(const char *data, size_t bytes) {
    size_t at = sizeof HEAD - 1, body = 0;
    if (bytes < at + 2)
        return 0;
    if (memcmp(data, HEAD, at) != 0)
        stop("the server sent something that does not begin with FIX 4.4's BeginString and BodyLength");
    while (at < bytes && data[at] >= '0' && data[at] <= '9' && body <= MESSAGE_BYTES_MAX)
        body = body * 10 + (size_t)(data[at++] - '0');
    if (at == bytes)
        return 0;
    if (data[at] != '\x01' || body > MESSAGE_BYTES_MAX)
        stop("the server sent a bad BodyLength");
    size_t whole = at + 1 + body + 7;
    return whole <= bytes ? whole : 0;
}

static void check_sum(const char *data, size_t bytes) {
    unsigned sum = 0;
    char expected[8];
    for (size_t i = 0; i < bytes - 7; i++)
        sum += (unsigned char)data[i];
    *put_number(put(expected, "10="), sum & 0xff, 3) = '\x01';
    if (memcmp(data + bytes - 7, expected, 7) != 0)
        stop("the server sent a message with a bad BodyLength or CheckSum");
}

static void read_fields(const char *data, size_t bytes, struct message *message) {
    memset(message, 0, sizeof *message);
    message->bytes = bytes;
    for (const char *at = data, *end = data + bytes; at < end;) {
        unsigned tag = 0;
        while (at < end && *at != '=')
            tag = tag * 10 + (unsigned)(*at++ - '0');
        const char *text = at + 1, *last = text < end ? memchr(text, '\x01', (size_t)(end - text)) : NULL;
        if (last == NULL)
            stop("the server sent a message whose fields do not parse");
        struct field field = {text, (size_t)(last - text)};
        if (tag == 35)
            message->type = field;
        else if (tag == 11)
            message->clordid = field;
        else if (tag == 150)
            message->exec_type = field;
        else if (tag == 58)
            message->reason = field;
        else if (tag == 112)
            message->test_request = field;
        at = last + 1;
    }
}

/* The next whole message of the input buffer. */
static bool next_message(struct broker *broker, struct message *message) {
    const char *data = broker->in + broker->in_begin;
    size_t bytes = frame(data, broker->in_end - broker->in_begin);
    if (bytes == 0)
        return false;
    check_sum(data, bytes);
    read_fields(data, bytes, message);
    broker->in_begin += bytes;
    return true;
}

static void take_report(struct broker *broker, const struct message *message) {
    char expected[64];
    size_t bytes = clordid(broker->options, ++broker->reports, expected);
    bool new = message->exec_type.bytes == 0 || *message->exec_type.text == '0'; /* the echo has no ExecType */
    if (!new)
        stop("order %" PRIu64 " was not accepted and left to rest: ExecType %c: %.*s", broker->reports,
             *message->exec_type.text, (int)message->reason.bytes, message->reason.bytes ? message->reason.text : "");
    if (message->clordid.bytes != bytes || memcmp(message->clordid.text, expected, bytes) != 0)
        stop("expected the report of order %.*s, got the one of %.*s", (int)bytes, expected,
             (int)message->clordid.bytes, message->clordid.bytes ? message->clordid.text : "");
    broker->report_bytes = message->bytes;
}

static void take(struct broker *broker, const struct message *message) {
    char fields[256];
    char type = message->type.bytes == 1 ? *message->type.text : '?';
    const char *reason = message->reason.bytes ? message->reason.text : "";
    switch (type) {
    case '8':
        if (broker->leaving && message->exec_type.bytes == 1 && *message->exec_type.text == '4')
            broker->cancelled++;
        else
            take_report(broker, message);
        break;
    case 'r':
        if (!broker->leaving)
            stop("a mass cancel report that nobody asked for");
        break;
    case '0':
    case '4':
        break;
    case '1':
        snprintf(fields, sizeof fields, "112=%.*s\x01", (int)message->test_request.bytes, message->test_request.text);
        queue_session(broker, "0", fields);
        break;
    case 'A':
        broker->logged_on = true;
        break;
    case '5':
        if (broker->logged_on && broker->reports == broker->orders) {
            broker->logged_out = true;
            break;
        }
        stop("logged out by the server: %.*s", (int)message->reason.bytes, reason);
        break;
    default:
        stop("the server answered with MsgType %.*s: %.*s", (int)message->type.bytes,
             message->type.bytes ? message->type.text : "", (int)message->reason.bytes, reason);
    }
}

static void take_all(struct broker *broker) {
    struct message message;
    while (next_message(broker, &message))
        take(broker, &message);
}

/* ---- the two loads ---- */

static void log_on(struct broker *broker) {
    char fields[512];
    const struct options *options = broker->options;
    int used = snprintf(fields, sizeof fields,
                        "98=0\x01"
                        "108=%d\x01"
                        "141=Y\x01",
                        HEARTBEAT_SECONDS);
    if (options->username != NULL)
        snprintf(fields + used, sizeof fields - (size_t)used,
                 "553=%s\x01"
                 "554=%s\x01",
                 options->username, options->password);
    queue_session(broker, "A", fields);
    flush(broker, 0);
    while (!broker->logged_on) {
        fill(broker, 0);
        take_all(broker);
    }
}

static void cancel_all(struct broker *broker) {
    char fields[256], time[40];
    *put_time(broker, time, "60=") = 0;
    snprintf(fields, sizeof fields,
             "11=%sq\x01"
             "530=1\x01"
             "%s55=%s\x01",
             broker->options->prefix, time, broker->options->symbol);
    queue_session(broker, "q", fields);
    flush(broker, 0);
    broker->leaving = true;
    while (broker->cancelled < broker->orders) {
        fill(broker, 0);
        take_all(broker);
    }
}

static void log_out(struct broker *broker) {
    queue_session(broker, "5", "");
    flush(broker, 0);
    while (!broker->logged_out) {
        fill(broker, 0);
        take_all(broker);
    }
}

/* Keeps up to `window` orders unanswered; sends and receives whatever the socket takes and gives. */
static void pipeline(struct broker *broker, uint64_t count) {
    uint64_t end = broker->orders + count;
    while (broker->reports < end) {
        while (broker->orders < end && broker->orders - broker->reports < broker->options->window &&
               broker->out_end < BUFFER_BYTES / 2)
            queue_order(broker);
        bool progress = flush(broker, MSG_DONTWAIT);
        if (fill(broker, MSG_DONTWAIT)) {
            take_all(broker);
            progress = true;
        }
        if (progress)
            continue;
        struct pollfd ready = {broker->fd, (short)(POLLIN | (broker->out_begin < broker->out_end ? POLLOUT : 0)), 0};
        if (poll(&ready, 1, SILENCE_SECONDS_MAX * 1000) == 0)
            stop("no answer for %d s after %" PRIu64 " of %" PRIu64 " reports", SILENCE_SECONDS_MAX, broker->reports,
                 broker->orders);
    }
}

/* One order, wait for its report, next; the clock runs from before the send until the report is read and checked. */
static void ping_pong(struct broker *broker, uint64_t count, uint64_t *latency_ns) {
    for (uint64_t i = 0; i < count; i++) {
        queue_order(broker);
        uint64_t begin_ns = now_ns();
        flush(broker, 0);
        while (broker->reports < broker->orders) {
            fill(broker, 0);
            take_all(broker);
        }
        latency_ns[i] = now_ns() - begin_ns;
        flush(broker, 0); /* a heartbeat asked for meanwhile */
    }
}

/* Orders leave when they are due, whatever is unanswered; a wait that a slow answer causes counts for all that it delays. */
static void pace(struct broker *broker, uint64_t count, uint64_t *latency_ns) {
    uint64_t first = broker->orders, answered = broker->reports, begin_ns = now_ns() + 1000000;
    double interval_ns = 1e9 / (double)broker->options->rate;
    while (broker->reports < first + count) {
        uint64_t now = now_ns(), sent = broker->orders - first;
        while (sent < count && begin_ns + (uint64_t)((double)sent * interval_ns) <= now &&
               broker->out_end < BUFFER_BYTES / 2) {
            queue_order(broker);
            sent++;
        }
        bool progress = flush(broker, MSG_DONTWAIT);
        if (fill(broker, MSG_DONTWAIT)) {
            take_all(broker);
            progress = true;
            for (now = now_ns(); answered < broker->reports; answered++)
                latency_ns[answered - first] = now - begin_ns - (uint64_t)((double)(answered - first) * interval_ns);
        }
        uint64_t due_ns = begin_ns + (uint64_t)((double)sent * interval_ns);
        now = now_ns();
        if (progress || (sent < count && due_ns <= now))
            continue;
        uint64_t wait_ns = sent < count ? due_ns - now : SILENCE_SECONDS_MAX * 1000000000u;
        struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
        struct pollfd ready = {broker->fd, (short)(POLLIN | (broker->out_begin < broker->out_end ? POLLOUT : 0)), 0};
        if (ppoll(&ready, 1, &wait, NULL) == 0 && sent == count)
            stop("no answer for %d s after %" PRIu64 " of %" PRIu64 " reports", SILENCE_SECONDS_MAX, broker->reports,
                 broker->orders);
    }
}

/* ---- measuring ---- */

/* CPU time of all threads of the server; 0 when it cannot be read. */
static uint64_t server_cpu_ns(uint64_t pid) {
    char path[300];
    char text[32];
    uint64_t total = 0;
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/task", pid);
    DIR *tasks = pid != 0 ? opendir(path) : NULL;
    for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%" PRIu64 "/task/%s/schedstat", pid, task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        if (fgets(text, sizeof text, file) != NULL)
            total += strtoull(text, NULL, 10); /* the first of three numbers */
        fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return total;
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_us(const uint64_t *sorted, uint64_t count, double quantile) {
    uint64_t at = (uint64_t)(quantile * (double)count);
    return (double)sorted[at < count ? at : count - 1] / 1e3;
}

static void print_latency(const char *phase, uint64_t *latency_ns, uint64_t count) {
    qsort(latency_ns, count, sizeof *latency_ns, ascending);
    printf(", \"%s\": {\"orders\": %" PRIu64
           ", \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"max_us\": %.3f",
           phase, count, quantile_us(latency_ns, count, 0.5), quantile_us(latency_ns, count, 0.99),
           quantile_us(latency_ns, count, 0.999), quantile_us(latency_ns, count, 1));
}

static void wait_until(uint64_t start_ns) {
    struct timespec start = {(time_t)(start_ns / 1000000000u), (long)(start_ns % 1000000000u)};
    if (start_ns != 0 && now_ns() > start_ns)
        stop("--start-ns was over before everything was ready");
    while (start_ns != 0 && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL) == EINTR)
        ;
}

static void measure(struct broker *broker) {
    const struct options *options = broker->options;
    uint64_t *latency_ns = calloc(options->pingpong + 1, sizeof *latency_ns);
    uint64_t *paced_ns = calloc(options->paced + 1, sizeof *paced_ns);
    if (latency_ns == NULL || paced_ns == NULL)
        stop("not enough memory");
    pipeline(broker, options->warm);
    wait_until(options->start_ns);
    uint64_t begin_cpu_ns = server_cpu_ns(options->server_pid), begin_ns = now_ns();
    pipeline(broker, options->pipelined);
    uint64_t pipelined_ns = now_ns() - begin_ns, middle_cpu_ns = server_cpu_ns(options->server_pid);
    ping_pong(broker, options->pingpong, latency_ns);
    uint64_t end_cpu_ns = server_cpu_ns(options->server_pid);
    pace(broker, options->paced, paced_ns);
    printf("{\"order_bytes\": %" PRIu64 ", \"report_bytes\": %" PRIu64 ", \"reports\": %" PRIu64, broker->order_bytes,
           broker->report_bytes, broker->reports);
    if (options->pipelined != 0)
        printf(", \"pipelined\": {\"orders\": %" PRIu64 ", \"seconds\": %.6f, \"per_second\": %.1f, \"cpu_us\": %.3f}",
               options->pipelined, (double)pipelined_ns / 1e9, (double)options->pipelined * 1e9 / (double)pipelined_ns,
               (double)(middle_cpu_ns - begin_cpu_ns) / 1e3 / (double)options->pipelined);
    if (options->pingpong != 0) {
        print_latency("pingpong", latency_ns, options->pingpong);
        printf(", \"cpu_us\": %.3f}", (double)(end_cpu_ns - middle_cpu_ns) / 1e3 / (double)options->pingpong);
    }
    if (options->paced != 0) {
        print_latency("paced", paced_ns, options->paced);
        printf(", \"rate\": %" PRIu64 "}", options->rate);
    }
    puts("}");
    free(latency_ns);
    free(paced_ns);
}

/* ---- the command line ---- */

static uint64_t number(const char *name, const char *text) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || *text == '-')
        stop("--%s %s is not a count", name, text);
    return value;
}

struct named {
    const char *name;
    const char **text;
    uint64_t *count;
};

static void read_options(int argc, char **argv, struct options *o) {
    struct named known[] = {
        {"host", &o->host, NULL},         {"sender", &o->sender, NULL},
        {"target", &o->target, NULL},     {"symbol", &o->symbol, NULL},
        {"account", &o->account, NULL},   {"username", &o->username, NULL},
        {"password", &o->password, NULL}, {"prefix", &o->prefix, NULL},
        {"port", NULL, &o->port},         {"window", NULL, &o->window},
        {"warm", NULL, &o->warm},         {"pipelined", NULL, &o->pipelined},
        {"pingpong", NULL, &o->pingpong}, {"price-ticks", NULL, &o->price_ticks},
        {"levels", NULL, &o->levels},     {"decimals", NULL, &o->decimals},
        {"seed", NULL, &o->seed},         {"server-pid", NULL, &o->server_pid},
        {"paced", NULL, &o->paced},       {"rate", NULL, &o->rate},
        {"start-ns", NULL, &o->start_ns},
    };
    for (int i = 1; i < argc; i++) {
        const char *name = strncmp(argv[i], "--", 2) == 0 ? argv[i] + 2 : "";
        size_t at = 0, count = sizeof known / sizeof *known;
        if (strcmp(name, "no-logon") == 0 || strcmp(name, "cancel") == 0) {
            *(*name == 'c' ? &o->cancel : &o->logon) = *name == 'c';
            continue;
        }
        while (at < count && strcmp(name, known[at].name) != 0)
            at++;
        if (at == count || i + 1 == argc)
            stop("%s: unknown option, or its value is missing", argv[i]);
        i++;
        if (known[at].text != NULL)
            *known[at].text = argv[i];
        else
            *known[at].count = number(name, argv[i]);
    }
    if (o->port == 0 || o->port > 65535 || o->window == 0 || o->levels == 0 || o->decimals > 9)
        stop("--port (1..65535), --window, --levels (from 1) and --decimals (up to 9) are needed");
    if (strlen(o->prefix) > 24 || strlen(o->sender) + strlen(o->target) + strlen(o->symbol) + strlen(o->account) > 200)
        stop("comp ids, symbol, account or --prefix too long");
    if (o->paced != 0 && o->rate == 0)
        stop("--paced needs --rate");
    if (o->username != NULL && o->password == NULL)
        stop("--username needs --password");
}

int main(int argc, char **argv) {
    struct options options = {
        .host = "127.0.0.1",
        .sender = "BROKER",
        .target = "VENUE",
        .symbol = "ACME",
        .account = "",
        .prefix = "o",
        .window = 1000,
        .price_ticks = 10000,
        .levels = 1,
        .decimals = 2,
        .logon = true,
    };
    read_options(argc, argv, &options);
    struct broker broker = {.options = &options, .in = malloc(BUFFER_BYTES), .out = malloc(BUFFER_BYTES)};
    if (broker.in == NULL || broker.out == NULL)
        stop("not enough memory");
    broker.random = options.seed;
    connect_to(&broker);
    if (options.logon)
        log_on(&broker);
    measure(&broker);
    if (options.cancel)
        cancel_all(&broker);
    if (options.logon)
        log_out(&broker);
    close(broker.fd);
    free(broker.in);
    free(broker.out);
    return 0;
}
