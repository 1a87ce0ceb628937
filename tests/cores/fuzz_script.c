/* See fuzz_script.h. Codes are written as numbers where a later version of the core knows more than this one: what the
 * core does not know, it has to refuse. */
#include "fuzz_script.h"

#include <inttypes.h>
#include <stdio.h>

enum { LOW = 100, HIGH = 163, MIDDLE = 118, WIDE_HIGH = 8291 };

static const u64 EDGES[] = {0,
                            1,
                            2,
                            63,
                            64,
                            99,
                            100,
                            163,
                            164,
                            QTY_LOTS_MAX,
                            QTY_LOTS_MAX + 1,
                            PRICE_TICKS_MAX + 1,
                            AMOUNT_MAX,
                            AMOUNT_MAX + 1,
                            1ull << 63,
                            ~0ull,
                            ~0ull - 1,
                            1ull << 32,
                            0xffffffff,
                            1ull << 58,
                            1000000000,
                            SEQ_MAX,
                            SEQ_MAX + 1,
                            ORDERS_MAX};
static const u64 ORD_TYPES[] = {2, 2, 2, 2, 1, 3, 4, 5};
static const u64 TIFS[] = {0, 1, 0, 1, 3, 4, 0, 1, 3, 0, 2, 7, 6, 1, 0, 3};
static const u64 PHASES[] = {1, 2, 1, 3, 1, 4, 1, 2, 1, 0, 5, 6}; /* trading mostly, and the ways to an auction */
static const u64 NEW_FLAGS[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 4, 0x10, 0x20, 0x30, 0x40, 0xff};
static const u64 LOT_SIZES[] = {10, 10, 10, 1, 0, AMOUNT_MAX, AMOUNT_MAX + 1, 1000};
static const u64 TICK_VALUES[] = {5, 5, 1, 1000, 0, 1ull << 58, AMOUNT_MAX + 1, 1 << 20};
static const u64 LOWS[] = {LOW, LOW, LOW, 1, 0, PRICE_TICKS_MAX - 10, PRICE_TICKS_MAX, 90};
static const u64 FEES[] = {0,
                           10 | 25ull << 32,
                           25 | 25ull << 32,
                           26 | 25ull << 32,
                           10000ull << 32,
                           1 | 10001ull << 32,
                           0xfffffff6ull | 25ull << 32,
                           30 | 900ull << 32};
static const u64 AMOUNTS[] = {0, 7, 800, 9000, 60000, 1ull << 40, AMOUNT_MAX, 1};
static const u64 WAITS[] = {0, 0, 0, 1, 1000, 500000000, 1000000000, 3600000000000ull};

static u64 pick(const u64 *values, u64 count, u64 byte) {
    return values[byte % count];
}
#define PICK(values, byte) pick(values, sizeof(values) / sizeof(values)[0], byte)

static u64 head(u64 kind, u64 side, u64 ord_type, u64 tif, u64 flags, u64 symbol) {
    return kind | side << 8 | ord_type << 16 | tif << 24 | flags << 32 | symbol << 48;
}

struct core_config script_config(const uint8_t *bytes, u64 size) {
    static const struct core_config configs[] = {
        {5, 5, 5, 64, 64}, {5, 5, 5, 64, 64}, {4, 5, 4, 128, 64}, {4, 7, 4, 64, 512}, {4, 5, 64, 256, 64}};
    return configs[size > 0 ? bytes[0] % 5 : 0];
}

u64 script_split(const uint8_t *bytes, u64 size) {
    return size > 1 ? bytes[1] % 65 : 32;
}

u64 script_has_setup(const uint8_t *bytes, u64 size) {
    return size > 2 ? bytes[2] % 16 != 15 : 1;
}

u64 script_is_wide(const uint8_t *bytes, u64 size) {
    return size > 3 ? bytes[3] % 4 == 3 : 0;
}

void script_begin(struct script *script, const uint8_t *bytes, u64 size) {
    *script = (struct script){.bytes = bytes, .size = size, .at = STEP_BYTES, .is_wide = script_is_wide(bytes, size)};
}

/* Instruments that share assets, one too dear to trade, one a future, and accounts that can run out of money, one on credit. */
u64 script_setup(const struct script *script, u64 number, struct command *c) {
    static const u64 fees[] = {10 | 25ull << 32, 0, 30 | 900ull << 32, 7 | 7ull << 32};
    *c = (struct command){0};
    if (number < 4) {
        static const u64 owners[] = {0 | 1ull << 32, 2 | 1ull << 32, 0 | 1ull << 32, 3 | 1ull << 32};
        static const u64 lots[] = {10, 1, 1, 1}, ticks[] = {5, 1000, 1ull << 58, 60};
        u64 flags = number == 3 ? FLAG_INSTRUMENT_FUTURE : 0;
        *c = (struct command){.head = head(COMMAND_INSTRUMENT, 0, 0, 0, flags, number),
                              .owner = owners[number],
                              .order_id = lots[number],
                              .price_ticks = LOW,
                              .qty_lots = script->is_wide && number != 2 ? WIDE_HIGH : HIGH,
                              .aux = ticks[number]};
        return 1;
    }
    number -= 4;
    if (number < 16) {
        u64 account = 1 + number / 4, asset = number % 4 - 1; /* the account first, then its money */
        if (number % 4 == 0)
            *c = (struct command){.head = COMMAND_ACCOUNT, .owner = account, .aux = fees[account - 1]};
        else
            *c = (struct command){
                .head = COMMAND_DEPOSIT, .owner = account | asset << 48, .qty_lots = asset == 1 ? 60000 : 900};
        return 1;
    }
    if (number < 18) {
        u64 asset = 17 - number;
        *c = (struct command){.head = COMMAND_LIMIT, .owner = 2 | asset << 48, .qty_lots = asset == 1 ? 50000 : 500};
        return 1;
    }
    if (number == 18) {
        *c = (struct command){.head = head(COMMAND_LIMIT, 0, LIMIT_MARGIN, 0, 0, 3), .qty_lots = 900, .aux = 600};
        return 1;
    }
    return 0;
}

/* Near the middle mostly; in a wide instrument the others are pages apart. */
static u64 price_of(const struct script *script, u64 byte) {
    if (script->is_wide && byte >= 176)
        return MIDDLE + (byte - 176) * PAGE_LEVELS;
    return byte < 208 ? MIDDLE + byte % 9 : LOW - 2 + byte % 68;
}

static u64 lots_of(u64 byte) {
    return byte < 224 ? 1 + byte % 16 : PICK(EDGES, byte);
}

static void make_new(struct script *script, const uint8_t *b, struct command *c) {
    u64 ord_type = PICK(ORD_TYPES, b[3] >> 1), tif = PICK(TIFS, b[6]);
    c->head |= head(COMMAND_NEW, 1 + (b[3] & 1), ord_type, tif, PICK(NEW_FLAGS, b[6] >> 4), 0);
    c->price_ticks = ord_type == 1 || ord_type == 3 || ord_type == 5 ? 0 : price_of(script, b[4]);
    c->qty_lots = lots_of(b[5]);
    if (ord_type == 3 || ord_type == 4)
        c->order_id = price_of(script, b[7]);
    else if (b[7] >= 192)
        c->order_id = 1 + (b[7] & 7);
    if (tif == 6)
        c->aux = script->time_ns + PICK(WAITS, b[7]);
    else if ((b[7] & 3) == 0)
        c->aux = (b[7] >> 2) % 9;
}

/* A CANCEL or REPLACE of an order that was seen: one of the latest mostly, its owner's mostly. */
static void point_at(struct script *script, const uint8_t *b, struct command *c) {
    if (script->seen_count == 0) {
        c->order_id = (u64)b[3] << 24 | b[4];
        return;
    }
    u64 held = script->seen_count < SEEN_MAX ? script->seen_count : SEEN_MAX;
    const struct seen_order *order = &script->seen[(script->seen_count - 1 - b[3] % held) % SEEN_MAX];
    c->order_id = order->order_id;
    c->price_ticks = order->price_ticks;
    if (b[2] < 240) {
        c->head = (c->head & ~(0xffffull << 48)) | order->symbol << 48;
        c->owner = (c->owner & ~0xffffffffull) | order->account;
    }
}

static void make_replace(struct script *script, const uint8_t *b, struct command *c) {
    c->head |= COMMAND_REPLACE;
    point_at(script, b, c);
    if (b[4] & 1)
        c->price_ticks = price_of(script, b[4]);
    c->qty_lots = lots_of(b[5]);
    if ((b[7] & 7) == 0)
        c->aux = price_of(script, b[7] >> 3);
}

/* A trade that there was, one of the latest mostly; now and then something of it is wrong. */
static void make_bust(struct script *script, const uint8_t *b, struct command *c) {
    if (script->trade_count == 0 && b[2] < 232) {
        make_new(script, b, c); /* so that there will be one */
        return;
    }
    c->head |= head(COMMAND_BUST, 0, 0, 0, b[6] >= 248, 0);
    if (script->trade_count == 0) {
        c->owner = b[2] % 5 | (u64)(b[3] % 5) << 32;
        c->order_id = (u64)b[4] << 24 | b[5];
        c->price_ticks = price_of(script, b[4]);
        c->qty_lots = lots_of(b[5]);
        return;
    }
    u64 held = script->trade_count < SEEN_MAX ? script->trade_count : SEEN_MAX;
    const struct seen_trade *trade = &script->trades[(script->trade_count - 1 - b[3] % held) % SEEN_MAX];
    c->head = (c->head & ~(0xffffull << 48)) | trade->symbol << 48;
    c->owner = trade->owner;
    c->order_id = trade->order_id;
    c->price_ticks = trade->price_ticks;
    c->qty_lots = trade->qty_lots;
    c->aux = trade->aux;
    if (b[4] >= 240)
        c->owner = trade->owner << 32 | trade->owner >> 32;
    else if (b[4] >= 232)
        c->qty_lots = lots_of(b[5]);
    else if (b[4] >= 224)
        c->price_ticks = price_of(script, b[5]);
    else if (b[4] >= 216)
        c->aux = PICK(EDGES, b[5]);
    else if (b[4] >= 208)
        c->owner = (trade->owner & ~0xffffull) | b[5] % 7;
}

static void make_instrument(const uint8_t *b, struct command *c) {
    u64 low = PICK(LOWS, b[3]), bases[] = {0, 4, 0, 2, 3, 63}, quotes[] = {1, 1, 1, 0, 3, 1};
    c->head |= head(COMMAND_INSTRUMENT, 0, 0, 0, b[6] & 3, 0);
    c->owner = PICK(bases, b[2]) | PICK(quotes, b[2] / 6) << 32;
    c->order_id = b[6] >= 128 ? 1 : PICK(LOT_SIZES, b[4]);
    c->aux = PICK(TICK_VALUES, b[5]);
    c->price_ticks = low;
    c->qty_lots = low + (b[7] < 160 ? 63 : b[7] < 192 ? WIDE_HIGH - LOW : b[7] % 70) - (b[7] == 255 ? 70 : 0);
}

static void make_money(u64 kind, const uint8_t *b, struct command *c) {
    c->head |= head(kind, 0, kind == COMMAND_LIMIT ? b[5] % 14 : 0, 0, 0, 0);
    c->owner |= (u64)(b[3] % 4) << 48;
    c->qty_lots = b[4] < 200 ? PICK(AMOUNTS, b[4]) : PICK(EDGES, b[4]);
    if (kind == COMMAND_WITHDRAW) {
        c->order_id = 0x1122334455667788ull;
        c->price_ticks = 0x99aabbccddeeff00ull;
        c->aux = 0x12345678;
    } else if (kind == COMMAND_LIMIT) {
        c->aux = PICK(EDGES, b[6]);
    }
}

/* What is no command of its own: words to overwrite in the next command, or in the state at the end. */
static int take_patch(struct script *script, const uint8_t *b) {
    u64 value = 0;
    for (int i = 7; i > 3; i--)
        value = value << 8 | b[i];
    if (b[3] < 192)
        value = b[3] < 96 ? PICK(EDGES, b[4]) : value & 0xff;
    if (b[0] >= 246) {
        if (script->tamper_count < TAMPERS_MAX)
            script->tampers[script->tamper_count++] = (struct patch){b[1], b[2] & 7, value};
    } else if (script->patch_count < PATCHES_MAX) {
        script->patches[script->patch_count++] = (struct patch){0, b[1] & 7, value};
    }
    return 0;
}

static int take_raw(struct script *script, struct command *c) {
    if (script->at + sizeof *c > script->size)
        return 0;
    __builtin_memcpy(c, script->bytes + script->at, sizeof *c);
    script->at += sizeof *c;
    c->seq = script->seq + 1;
    c->time_ns = script->time_ns + (c->time_ns & 0xff);
    return 1;
}

static void make_other(const struct script *script, const uint8_t *b, struct command *c) {
    if (b[0] < 192) {
        c->head |= head(COMMAND_MASS_CANCEL, b[3] % 4, 0, 0, b[6] & 1, 0);
    } else if (b[0] < 202) {
        c->head |= head(COMMAND_TIME, 0, 0, 0, b[6] & 7, 0);
    } else if (b[0] < 214) {
        c->head |= head(COMMAND_PHASE, 0, PICK(PHASES, b[3]), 0, b[6] >= 232, 0);
        c->price_ticks = b[4] >= 224 ? price_of(script, b[4]) : 0;
    } else if (b[0] < 218) {
        make_instrument(b, c);
    } else if (b[0] < 224) {
        c->head |= head(COMMAND_ACCOUNT, 0, 0, 0, (b[6] & 7) == 7, 0);
        c->owner = b[2] % 7;
        c->aux = PICK(FEES, b[4]);
        c->order_id = b[5] % 3;
        c->price_ticks = b[5] / 3 % 5;
        c->qty_lots = b[7] < 192 ? 0 : b[7] % 6;
    } else {
        make_money(b[0] < 230 ? COMMAND_LIMIT : b[0] < 235 ? COMMAND_DEPOSIT : COMMAND_WITHDRAW, b, c);
    }
}

static int make(struct script *script, const uint8_t *b, struct command *c) {
    if (b[0] >= 252)
        return take_raw(script, c);
    if (b[0] >= 240)
        return take_patch(script, b);
    static const u64 symbols[] = {0, 1, 2, 0, 1, 3, 3, 3};
    *c = (struct command){.head = PICK(symbols, b[1] & 7) << 48,
                          .seq = script->seq + 1,
                          .time_ns = script->time_ns + PICK(WAITS, b[1] >> 5),
                          .owner = b[2] % 5 | (u64)(1 + (b[1] >> 3 & 1)) << 32};
    if (b[0] < 108) {
        make_new(script, b, c);
    } else if (b[0] < 120) {
        make_bust(script, b, c);
    } else if (b[0] < 134) {
        c->head |= head(b[3] < 192 ? COMMAND_MARGIN : COMMAND_MARK, 0, 0, 0, b[6] >= 240, 0);
        if (b[7] < 224)
            c->head = (c->head & ~(0xffffull << 48)) | 3ull << 48;
        c->price_ticks = LOW - 1 + b[4] % 66;
    } else if (b[0] < 145) {
        c->head |= COMMAND_CANCEL;
        point_at(script, b, c);
    } else if (b[0] < 184) {
        make_replace(script, b, c);
    } else {
        make_other(script, b, c);
    }
    return 1;
}

int script_next(struct script *script, struct command *command) {
    while (script->at + STEP_BYTES <= script->size) {
        const uint8_t *step = script->bytes + script->at;
        script->at += STEP_BYTES;
        if (!make(script, step, command))
            continue;
        u64 words[8];
        __builtin_memcpy(words, command, sizeof words);
        for (u64 i = 0; i < script->patch_count; i++)
            words[script->patches[i].word] = script->patches[i].value;
        __builtin_memcpy(command, words, sizeof words);
        script->patch_count = 0;
        return 1;
    }
    return 0;
}

/* The rate whose fee this is: it is rounded down, so of all that make it the lowest; below zero for a rebate. */
static u64 rate_of(u64 fee, unsigned __int128 notional) {
    u64 paid = (int64_t)fee < 0 ? -fee : fee;
    if (notional == 0)
        return 0;
    u64 bp = (u64)(((unsigned __int128)paid * 10000 + notional - 1) / notional);
    return (int64_t)fee < 0 ? -bp & 0xffffffff : bp;
}

/* Of the two FILLs of a trade, neighbours. */
static void keep_trade(struct script *script, const struct event *rests, const struct event *comes) {
    const struct event *buys = (rests->head >> 16 & 0xff) == SIDE_BUY ? rests : comes;
    const struct event *sells = buys == rests ? comes : rests;
    u64 symbol = rests->head >> 48;
    unsigned __int128 notional =
        (unsigned __int128)(rests->price_ticks * rests->qty_lots) * script->tick_values[symbol % SYMBOLS_SEEN];
    script->trades[script->trade_count++ % SEEN_MAX] =
        (struct seen_trade){.symbol = symbol,
                            .owner = (buys->owner & 0xffff) | (buys->owner >> 32 & 0xffff) << 16 |
                                     (sells->owner & 0xffff) << 32 | (sells->owner >> 32 & 0xffff) << 48,
                            .order_id = rests->exec_id,
                            .price_ticks = rests->price_ticks,
                            .qty_lots = rests->qty_lots,
                            .aux = rate_of(buys->aux, notional) | rate_of(sells->aux, notional) << 32};
}

void script_applied(struct script *script, const struct command *command, const struct event *events, u64 count) {
    script->seq = command->seq;
    script->time_ns = command->time_ns;
    for (u64 i = 0; i < count; i++) {
        u64 kind = events[i].head & 0xff;
        if (kind == EVENT_INSTRUMENT_SET)
            script->tick_values[(events[i].head >> 48) % SYMBOLS_SEEN] = events[i].aux;
        if (kind == EVENT_ACCEPTED)
            script->seen[script->seen_count++ % SEEN_MAX] = (struct seen_order){
                events[i].order_id, events[i].head >> 48, events[i].owner & 0xffffffff, events[i].price_ticks};
        if (kind == EVENT_FILL && i + 1 < count && (events[i + 1].head & 0xff) == EVENT_FILL) {
            keep_trade(script, &events[i], &events[i + 1]);
            i++;
        }
    }
}

/* ---- readable ---- */

static const char *name_of(const char *const *names, u64 count, u64 number) {
    return number < count ? names[number] : "?";
}

void script_print_command(const struct command *c) {
    static const char *const kinds[] = {"?",       "NEW",      "CANCEL",     "REPLACE", "MASS_CANCEL",
                                        "TIME",    "PHASE",    "INSTRUMENT", "ACCOUNT", "LIMIT",
                                        "DEPOSIT", "WITHDRAW", "MARK",       "MARGIN",  "BUST"};
    static const char *const sides[] = {"-", "BUY", "SELL"};
    u64 h = c->head;
    printf("%" PRIu64 " %s(%" PRIu64 ") %s symbol %" PRIu64 " account %" PRIu64 " session %" PRIu64 " asset %" PRIu64
           " ord_type %" PRIu64 " tif %" PRIu64 " flags %" PRIu64 " precheck %" PRIu64 " order_id %" PRIu64 "/%" PRIu64
           " price %" PRIu64 " qty %" PRIu64 " aux %" PRIu64 " time %" PRIu64 "\n",
           c->seq, name_of(kinds, 15, h & 0xff), h & 0xff, name_of(sides, 3, h >> 8 & 0xff), h >> 48,
           c->owner & 0xffffffff, c->owner >> 32 & 0xffff, c->owner >> 48, h >> 16 & 0xff, h >> 24 & 0xff,
           h >> 32 & 0xff, h >> 40 & 0xff, c->order_id >> 24, c->order_id & 0xffffff, c->price_ticks, c->qty_lots,
           c->aux, c->time_ns);
}

void script_print_event(const struct event *e) {
    static const char *const kinds[] = {"?",          "ACCEPTED",  "REJECTED",        "FILL",
                                        "CANCELLED",  "REPLACED",  "CANCEL_REJECTED", "EXPIRED",
                                        "DEPOSITED",  "WITHDRAWN", "INSTRUMENT_SET",  "ACCOUNT_SET",
                                        "LIMIT_SET",  "CLOCK",     "MASS_CANCELLED",  "COMMAND_REJECTED",
                                        "TRIGGERED",  "REFRESHED", "RESTATED",        "PHASE",
                                        "INDICATIVE", "MARKED",    "POSITION",        "DEFICIT",
                                        "MARGIN",     "BUSTED"};
    printf("    %s reason %" PRIu64 " flags %" PRIu64 " symbol %" PRIu64 " account %" PRIu64 " order %" PRIu64
           "/%" PRIu64 " price %" PRIu64 " qty %" PRIu64 " leaves %" PRIu64 " aux %" PRIu64 "\n",
           name_of(kinds, 26, e->head & 0xff), e->head >> 8 & 0xff, e->head >> 24 & 0xff, e->head >> 48,
           e->owner & 0xffffffff, e->order_id >> 24, e->order_id & 0xffffff, e->price_ticks, e->qty_lots,
           e->leaves_lots, e->aux);
}
