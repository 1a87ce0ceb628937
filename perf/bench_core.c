/* Drives the core without Python: makes the seeded workload, and measures it.
 *
 *   bench_core generate SYMBOLS OPEN_ORDERS COMMANDS SEED COMMANDS_FILE PEER_FILE
 *   bench_core run COMMANDS_FILE RUNS [COMMANDS]
 *
 * Workload: 48% limit, 41% cancel, 5% move, 2% reduce, 4% immediate (half of them at market), over a book held at
 * OPEN_ORDERS open orders in all; accounts with balances, holds and fees. The peer file has the same operations for
 * engines that know neither accounts nor instruments. Both name an order by the number of its NEW, so that one hash over
 * (resting, aggressor, price, lots) of all trades compares engines. The rate is that of core_apply_batch, BATCH commands a
 * call; p50 and p99 are of core_apply, one command a call. Nothing but the applying of commands is timed, and that in
 * processor time of the thread: what else runs on the machine then counts for neither engine.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core.h"

enum { BATCH = 64, ACCOUNTS = 1024, MEMBERS = 1000, ASSETS = 2, LEVELS = 4096, LOW = 1000, MIDDLE = LOW + LEVELS / 2 };
enum peer_op { PEER_NEW = 0, PEER_CANCEL = 1, PEER_MOVE = 2, PEER_REDUCE = 3 };

struct file_head {
    u64 symbols, orders, setup_count, timed_count;
};
struct peer_record {
    u64 op, symbol, order, account, price, lots, side, last;
};

_Noreturn static void stop(const char *what) {
    fprintf(stderr, "bench_core: %s\n", what);
    exit(1);
}

static void *memory(size_t bytes) {
    const size_t huge = 2u << 20;
    char *p = mmap(0, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        stop("not enough memory");
    p += -(uintptr_t)p % huge;
    madvise(p, bytes, MADV_HUGEPAGE); /* a wish: without huge pages it is slower, not wrong */
    return p;
}

static u64 clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static u64 now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

static struct core_config config_for(u64 symbols, u64 orders) {
    return (struct core_config){symbols, ACCOUNTS, ASSETS, orders, LEVELS};
}

/* ---- generate ---- */

struct live {
    u64 order_id, account, price, lots, side;
};

struct book {
    struct live *live;
    u64 count, middle;
    u64 *place; /* of a slot in `live` */
};

static struct {
    u64 random, seq, orders, target;
    struct core *core;
    struct event *events;
    struct book *books;
    u64 symbols;
    FILE *commands, *peer;
} g;

static u64 draw(void) {
    g.random ^= g.random << 13;
    g.random ^= g.random >> 7;
    g.random ^= g.random << 17;
    return g.random * 0x2545f4914f6cdd1dull >> 11;
}

static void forget(struct book *book, u64 slot) {
    u64 at = book->place[slot];
    struct live *last = &book->live[--book->count];
    book->live[at] = *last;
    book->place[last->order_id & ORDER_SLOT_NONE] = at;
}

static u64 apply(struct command *c) {
    c->seq = ++g.seq;
    c->time_ns = g.seq * 1000;
    u64 count = core_apply(g.core, c, g.events);
    if (count == CORE_FATAL)
        stop("the core refused the sequence");
    u64 kind = g.events[0].head & 0xff;
    if (kind == EVENT_REJECTED || kind == EVENT_CANCEL_REJECTED || kind == EVENT_COMMAND_REJECTED)
        stop("the core refused a command of the workload");
    if (fwrite(c, sizeof *c, 1, g.commands) != 1)
        stop("cannot write the commands");
    return count;
}

/* Follows what the events did to the open orders. */
static void follow(struct book *book, const struct command *c, u64 count) {
    u64 own = g.events[0].order_id, leaves = 0, rests = 0;
    for (u64 i = 0; i < count; i++) {
        const struct event *e = &g.events[i];
        u64 kind = e->head & 0xff;
        if (e->order_id == own) {
            leaves = e->leaves_lots;
            rests = kind != EVENT_CANCELLED && leaves != 0;
        } else if (kind == EVENT_FILL && e->leaves_lots == 0) {
            forget(book, e->order_id & ORDER_SLOT_NONE);
        }
    }
    u64 slot = own & ORDER_SLOT_NONE, is_new = (c->head & 0xff) == COMMAND_NEW;
    if (!is_new && !rests) {
        forget(book, slot);
        return;
    }
    if (!rests)
        return;
    if (is_new)
        book->place[slot] = book->count++;
    struct live *live = &book->live[book->place[slot]];
    u64 side = is_new ? c->head >> 8 & 0xff : live->side;
    *live = (struct live){own, c->owner & 0xffffffff, c->price_ticks, c->qty_lots, side};
}

/* `last`: of a NEW, 1 when it is immediate; of a REDUCE, what is left. */
static void write_peer(u64 op, u64 symbol, u64 order, const struct command *c, u64 price, u64 lots, u64 side,
                       u64 last) {
    struct peer_record record = {op, symbol, order, c->owner & 0xffffffff, price, lots, side, last};
    if (fwrite(&record, sizeof record, 1, g.peer) != 1)
        stop("cannot write the peer's file");
}

static void make_new(u64 symbol, u64 immediate) {
    struct book *book = &g.books[symbol];
    u64 r = draw(), side = 1 + (r & 1), market = immediate && (r >> 1 & 1);
    u64 distance = 1 + (r >> 8 & 31) + ((r >> 13 & 7) == 0 ? r >> 16 & 255 : 0);
    if ((r >> 2 & 63) == 0)
        book->middle += (r >> 24 & 1) ? 1 : (u64)-1;
    if (book->middle < MIDDLE - 800 || book->middle > MIDDLE + 800)
        book->middle = MIDDLE;
    u64 better = immediate || (r >> 25 & 31) == 0;
    u64 price = (side == SIDE_BUY) == better ? book->middle + (better ? distance & 7 : distance)
                                             : book->middle - (better ? distance & 7 : distance);
    struct command c = {
        .head = COMMAND_NEW | side << 8 | (market ? ORD_MARKET : ORD_LIMIT) << 16 |
                (immediate ? TIF_IOC : TIF_GTC) << 24 | symbol << 48,
        .owner = 1 + draw() % MEMBERS,
        .price_ticks = market ? 0 : price,
        .qty_lots = 1 + (r >> 32 & 63),
    };
    u64 count = apply(&c);
    u64 peer_price = !market ? price : side == SIDE_BUY ? LOW + LEVELS - 1 : LOW;
    write_peer(PEER_NEW, symbol, c.seq, &c, peer_price, c.qty_lots, side, immediate);
    follow(book, &c, count);
}

static void make_change(u64 symbol, enum peer_op op) {
    struct book *book = &g.books[symbol];
    const struct live live = book->live[draw() % book->count];
    struct command c = {
        .owner = live.account, .order_id = live.order_id, .price_ticks = live.price, .qty_lots = live.lots};
    struct order_view view;
    if (!core_find_order(g.core, symbol, live.order_id, &view))
        stop("an open order is not there");
    u64 less = 1;
    c.head = (op == PEER_CANCEL ? COMMAND_CANCEL : COMMAND_REPLACE) | symbol << 48;
    if (op == PEER_REDUCE && view.leaves_lots == 1)
        op = PEER_MOVE;
    if (op == PEER_REDUCE) {
        less = 1 + draw() % (view.leaves_lots - 1);
        c.qty_lots -= less;
    }
    if (op == PEER_MOVE) {
        u64 distance = 1 + (draw() & 31);
        c.price_ticks = live.side == SIDE_BUY ? book->middle - distance : book->middle + distance;
    }
    if (op == PEER_MOVE && c.price_ticks == live.price)
        c.price_ticks += live.side == SIDE_BUY ? (u64)-1 : 1;
    u64 count = apply(&c);
    u64 left = op == PEER_REDUCE ? view.leaves_lots - less : 0;
    write_peer(op, symbol, live.order_id >> 24, &c, c.price_ticks, less, live.side, left);
    follow(book, &c, count);
}

static void make_one(void) {
    u64 symbol = draw() % g.symbols, part = draw() % 100;
    struct book *book = &g.books[symbol];
    if (book->count == 0 || (part < 89 && book->count * 100 < g.target * 98))
        part = 0;
    else if (part < 89 && book->count * 100 > g.target * 102)
        part = 48;
    if (part < 48)
        make_new(symbol, 0);
    else if (part < 89)
        make_change(symbol, PEER_CANCEL);
    else if (part < 94)
        make_change(symbol, PEER_MOVE);
    else if (part < 96)
        make_change(symbol, PEER_REDUCE);
    else
        make_new(symbol, 1);
}

static void set_up(void) {
    for (u64 symbol = 0; symbol < g.symbols; symbol++) {
        struct command c = {.head = COMMAND_INSTRUMENT | symbol << 48,
                            .owner = 1ull << 32,
                            .order_id = 100,
                            .price_ticks = LOW,
                            .qty_lots = LOW + LEVELS - 1,
                            .aux = 10};
        apply(&c);
    }
    for (u64 account = 1; account <= MEMBERS; account++) {
        struct command c = {.head = COMMAND_ACCOUNT, .owner = account, .aux = 1 | 2ull << 32};
        apply(&c);
        for (u64 asset = 0; asset < ASSETS; asset++) {
            struct command money = {.head = COMMAND_DEPOSIT, .owner = account | asset << 48, .qty_lots = 1ull << 50};
            apply(&money);
        }
    }
}

static u64 slots_for(u64 open_orders) {
    u64 orders = 64;
    while (orders < open_orders + open_orders / 4 + 16)
        orders *= 2;
    return orders;
}

/* The head again, with what is known now, and the file is done. */
static void write_head(FILE *file, const struct file_head *head) {
    if (fseek(file, 0, SEEK_SET) != 0 || fwrite(head, sizeof *head, 1, file) != 1 || fclose(file) != 0)
        stop("cannot write the workload");
}

static void generate(u64 symbols, u64 open_orders, u64 count, u64 seed, const char *commands, const char *peer) {
    if (symbols == 0)
        stop("a workload has at least one symbol");
    g.target = open_orders / symbols;
    g.orders = slots_for(g.target);
    struct core_config config = config_for(symbols, g.orders);
    g.random = seed * 0x9e3779b97f4a7c15ull + 1;
    g.symbols = symbols;
    g.core = memory(core_size(&config));
    core_init(g.core, &config);
    g.events = memory(core_events_max(&config) * sizeof(struct event));
    g.books = memory(symbols * sizeof(struct book));
    for (u64 i = 0; i < symbols; i++) {
        g.books[i].live = memory(g.orders * sizeof(struct live));
        g.books[i].place = memory(g.orders * sizeof(u64));
        g.books[i].middle = MIDDLE;
    }
    g.commands = fopen(commands, "wb");
    g.peer = fopen(peer, "wb");
    struct file_head head = {symbols, g.orders, 0, count};
    if (g.commands == 0 || g.peer == 0 || fwrite(&head, sizeof head, 1, g.commands) != 1 ||
        fwrite(&head, sizeof head, 1, g.peer) != 1)
        stop("cannot write the workload");
    set_up();
    u64 before_orders = g.seq;
    for (u64 i = 0; i < open_orders * 3; i++)
        make_one();
    head.setup_count = g.seq;
    u64 peer_setup = g.seq - before_orders;
    for (u64 i = 0; i < count; i++)
        make_one();
    write_head(g.commands, &head);
    head.setup_count = peer_setup;
    write_head(g.peer, &head);
    if (core_check(g.core) != 0)
        stop("an invariant is broken");
}

/* ---- run ---- */

static u64 mix(u64 hash, u64 word) {
    hash = (hash ^ word) * 0x100000001b3ull;
    return hash ^ hash >> 29;
}

static u64 trades_hash(u64 hash, const struct event *events, u64 count, u64 *trades) {
    for (u64 i = 0; i + 1 < count; i++) {
        if ((events[i].head & 0xff) != EVENT_FILL || events[i].head >> 24 & FLAG_AGGRESSOR)
            continue;
        hash = mix(mix(hash, events[i].order_id >> 24), events[i + 1].order_id >> 24);
        hash = mix(mix(hash, events[i].price_ticks), events[i].qty_lots);
        ++*trades;
    }
    return hash;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void fresh(struct core *core, const struct core_config *config, const struct command *commands, u64 count,
                  struct event *events) {
    if (core_init(core, config) != CORE_OK)
        stop("bad configuration in the file");
    for (u64 i = 0; i < count; i++) {
        if (core_apply(core, &commands[i], events) == CORE_FATAL)
            stop("bad sequence in the file");
    }
}

static void run(const char *path, u64 runs, u64 most) {
    FILE *file = fopen(path, "rb");
    struct file_head head;
    if (file == 0 || fread(&head, sizeof head, 1, file) != 1)
        stop("cannot read the workload");
    u64 all = head.setup_count + head.timed_count;
    struct command *commands = memory(all * sizeof *commands);
    if (fread(commands, sizeof *commands, all, file) != all)
        stop("the workload is cut off");
    fclose(file);
    const struct command *timed = commands + head.setup_count;
    head.timed_count = head.timed_count < most ? head.timed_count : most;
    struct core_config config = config_for(head.symbols, head.orders);
    struct core *core = memory(core_size(&config));
    u64 capacity =
        core_events_max(&config) + BATCH * 64; /* with room for the ordinary batch beside the worst command */
    struct event *events = memory(capacity * sizeof *events);
    u64 hash = 0, trades = 0, made_all = 0, best = ~0ull;
    for (u64 r = 0; r < runs; r++) {
        fresh(core, &config, commands, head.setup_count, events);
        hash = trades = made_all = 0;
        u64 start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (u64 i = 0, made; i < head.timed_count; made_all += made) {
            u64 left = head.timed_count - i, count = left < BATCH ? left : BATCH;
            u64 applied = core_apply_batch(core, &timed[i], count, events, capacity, &made, 0);
            if (applied == 0)
                stop("the core refused the sequence");
            i += applied;
            hash = trades_hash(hash, events, made, &trades);
        }
        u64 took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
        best = took < best ? took : best;
    }
    if (core_check(core) != 0)
        stop("an invariant is broken");

    uint32_t *each = memory(head.timed_count * sizeof *each);
    fresh(core, &config, commands, head.setup_count, events);
    for (u64 i = 0; i < head.timed_count; i++) {
        u64 start = now_ns();
        core_apply(core, &timed[i], events);
        each[i] = (uint32_t)(now_ns() - start);
    }
    qsort(each, head.timed_count, sizeof *each, by_size);
    u64 start = now_ns();
    for (int i = 0; i < 1000000; i++)
        now_ns();
    double clock_cost = (double)(now_ns() - start) / 1e6;
    printf("{\"ns_per_op\": %.2f, \"p50_ns\": %u, \"p99_ns\": %u, \"clock_ns\": %.1f, \"operations\": %" PRIu64
           ", \"trades\": %" PRIu64 ", \"events\": %" PRIu64 ", \"trade_hash\": \"%016" PRIx64 "\"}\n",
           (double)best / (double)head.timed_count, each[head.timed_count / 2], each[head.timed_count * 99 / 100],
           clock_cost, head.timed_count, trades, made_all, hash);
}

int main(int argc, char **argv) {
    if (argc == 8 && strcmp(argv[1], "generate") == 0)
        generate(strtoull(argv[2], 0, 10), strtoull(argv[3], 0, 10), strtoull(argv[4], 0, 10), strtoull(argv[5], 0, 10),
                 argv[6], argv[7]);
    else if ((argc == 4 || argc == 5) && strcmp(argv[1], "run") == 0)
        run(argv[2], strtoull(argv[3], 0, 10), argc == 5 ? strtoull(argv[4], 0, 10) : ~0ull);
    else
        stop("generate SYMBOLS OPEN_ORDERS COMMANDS SEED COMMANDS_FILE PEER_FILE | run COMMANDS_FILE RUNS [COMMANDS]");
    return 0;
}
