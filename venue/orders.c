/* The order table: two hash maps over two arrays, changed by the core's events only. */
#include "orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DAY_NS 86400000000000ull
#define ENTRIES_MIN 1024u
#define SOH 1
#define BUST "verb=bust\001"

enum status {
    STATUS_NEW = '0',
    STATUS_PARTIAL = '1',
    STATUS_FILLED = '2',
    STATUS_CANCELLED = '4',
    STATUS_REJECTED = '8',
    STATUS_EXPIRED = 'C'
};

/* ---- names out of an annex ----------------------------------------------------------------------------------- */

static int name_copy(char name[CLORDID_BYTES], const uint8_t *value, u64 bytes) {
    if (name[0] != 0) /* the first of a repeated tag counts */
        return 1;
    if (bytes >= CLORDID_BYTES)
        return 0;
    memcpy(name, value, bytes);
    return 1;
}

/* Which price a pegged order follows: ExecInst(18) M, R or P among others; 1 when it names none of them. */
static uint8_t peg_read(const uint8_t *body, const uint8_t *end) {
    for (const uint8_t *at = body; at < end;) {
        const uint8_t *stop = memchr(at, SOH, (size_t)(end - at));
        if (stop == 0)
            stop = end;
        if (stop - at > 3 && memcmp(at, "18=", 3) == 0)
            for (at += 3; at < stop; at++)
                if (*at == 'M' || *at == 'R' || *at == 'P')
                    return *at;
        at = stop + 1;
    }
    return 1;
}

int names_read(const uint8_t *body, u64 body_bytes, struct names *names) {
    memset(names, 0, sizeof *names);
    if (body_bytes < 3 || memcmp(body, "35=", 3) != 0) {
        if (body_bytes > sizeof BUST - 1 && memcmp(body, BUST, sizeof BUST - 1) == 0) {
            names->bust = body;
            names->bust_bytes = body_bytes;
        }
        return 1;
    }
    const uint8_t *at = body, *end = body + body_bytes;
    int pegged = 0;
    while (at < end) {
        const uint8_t *stop = memchr(at, SOH, (size_t)(end - at));
        if (stop == 0)
            stop = end;
        if (stop - at >= 3 && at[2] == '=' && at[1] == '1') {
            u64 bytes = (u64)(stop - at) - 3;
            if ((at[0] == '1' && !name_copy(names->clordid, at + 3, bytes)) ||
                (at[0] == '4' && !name_copy(names->orig_clordid, at + 3, bytes)))
                return 0;
        }
        pegged |= stop - at == 4 && memcmp(at, "40=P", 4) == 0;
        at = stop + 1;
    }
    if (pegged)
        names->peg = peg_read(body, end);
    return 1;
}

/* The value of a FIX tag of one side of a busted trade, `buy.<tag>=` or `sell.<tag>=`; null where there is none. */
static const uint8_t *bust_value(const struct names *names, u64 side, const char *tag, u64 *bytes) {
    char key[16];
    u64 key_bytes = (u64)snprintf(key, sizeof key, "%s.%s=", side == SIDE_BUY ? "buy" : "sell", tag);
    const uint8_t *at = names->bust, *end = at + names->bust_bytes;
    while (at != 0 && at < end) {
        const uint8_t *stop = memchr(at, SOH, (size_t)(end - at));
        if (stop == 0)
            stop = end;
        if ((u64)(stop - at) > key_bytes && memcmp(at, key, key_bytes) == 0) {
            *bytes = (u64)(stop - at) - key_bytes;
            return at + key_bytes;
        }
        at = stop + 1;
    }
    return 0;
}

static u64 bust_order_id(const struct names *names, u64 side) {
    u64 bytes = 0, number = 0;
    const uint8_t *value = bust_value(names, side, "37", &bytes);
    for (u64 i = 0; value != 0 && i < bytes; i++) {
        if (value[i] < '0' || value[i] > '9' || number > (~0ull - 9) / 10)
            return 0;
        number = number * 10 + (value[i] - '0');
    }
    return number;
}

/* ---- the maps ------------------------------------------------------------------------------------------------ */

static u64 fold(u64 a, u64 b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (u64)product ^ (u64)(product >> 64);
}

static u64 id_hash(u64 order_id) {
    return fold(order_id ^ 0x9e3779b97f4a7c15ull, 0xbf58476d1ce4e5b9ull);
}

static u64 name_hash(const struct orders *orders, uint16_t session, const char *clordid) {
    u64 words[CLORDID_BYTES / 8];
    memcpy(words, clordid, CLORDID_BYTES);
    u64 hash = fold(orders->seed[0] ^ session, orders->seed[1]);
    for (unsigned i = 0; i < CLORDID_BYTES / 8; i++)
        hash = fold(hash ^ words[i] ^ orders->seed[0], orders->seed[1] + i);
    return hash;
}

static void map_make(struct map *map, u64 entries) {
    map->mask = entries - 1;
    map->entries = calloc(entries, sizeof(u64));
    if (map->entries == 0)
        abort(); /* an accepted order can be neither kept nor refused any more */
}

static void map_put(struct map *map, u64 hash, u64 index) {
    u64 at = hash & map->mask;
    while (map->entries[at] != 0)
        at = (at + 1) & map->mask;
    map->entries[at] = (hash & ~0xffffffffull) | (index + 1);
}

static void *grown(void *array, u64 count, u64 *capacity, size_t size) {
    if (count < *capacity)
        return array;
    *capacity = *capacity * 2 + ENTRIES_MIN;
    void *more = realloc(array, *capacity * size);
    if (more == 0)
        abort();
    return more;
}

static u64 known_hash(const struct orders *orders, u64 index) {
    return name_hash(orders, orders->known[index].session, orders->known[index].clordid);
}

/* Both maps anew, with room for twice as many. */
static void maps_rebuild(struct orders *orders) {
    u64 ids = ENTRIES_MIN, names = ENTRIES_MIN;
    while (ids < 4 * orders->tracked_count)
        ids *= 2;
    while (names < 4 * orders->known_count)
        names *= 2;
    free(orders->by_id.entries);
    free(orders->by_name.entries);
    map_make(&orders->by_id, ids);
    map_make(&orders->by_name, names);
    for (u64 i = 0; i < orders->tracked_count; i++)
        map_put(&orders->by_id, id_hash(orders->tracked[i].order_id), i);
    for (u64 i = 0; i < orders->known_count; i++)
        map_put(&orders->by_name, known_hash(orders, i), i);
}

static u64 tracked_find(const struct orders *orders, u64 order_id) {
    u64 hash = id_hash(order_id), upper = hash >> 32;
    for (u64 at = hash & orders->by_id.mask; orders->by_id.entries[at] != 0; at = (at + 1) & orders->by_id.mask) {
        u64 entry = orders->by_id.entries[at], index = (entry & 0xffffffff) - 1;
        if (entry >> 32 == upper && orders->tracked[index].order_id == order_id)
            return index;
    }
    return NO_ORDER;
}

static u64 known_find(const struct orders *orders, uint16_t session, const char *clordid) {
    u64 hash = name_hash(orders, session, clordid), upper = hash >> 32;
    for (u64 at = hash & orders->by_name.mask; orders->by_name.entries[at] != 0; at = (at + 1) & orders->by_name.mask) {
        u64 entry = orders->by_name.entries[at], index = (entry & 0xffffffff) - 1;
        const struct known *known = &orders->known[index];
        if (entry >> 32 == upper && known->session == session && memcmp(known->clordid, clordid, CLORDID_BYTES) == 0)
            return index;
    }
    return NO_ORDER;
}

static u64 tracked_add(struct orders *orders, const struct tracked *order) {
    orders->tracked = grown(orders->tracked, orders->tracked_count, &orders->tracked_capacity, sizeof *order);
    u64 index = orders->tracked_count++;
    orders->tracked[index] = *order;
    if (2 * orders->tracked_count > orders->by_id.mask)
        maps_rebuild(orders);
    else
        map_put(&orders->by_id, id_hash(order->order_id), index);
    return index;
}

/* Remembers a name unless it is empty or known: the first use stays. Returns its index, or NO_ORDER. */
static uint32_t known_add(struct orders *orders, uint16_t session, const char *clordid, u64 order, int names_order,
                          u64 time_ns) {
    if (clordid[0] == 0 || known_find(orders, session, clordid) != NO_ORDER)
        return NO_ORDER;
    struct known known = {
        .time_ns = time_ns, .order = (uint32_t)order, .session = session, .names_order = (uint8_t)names_order};
    memcpy(known.clordid, clordid, CLORDID_BYTES);
    orders->known = grown(orders->known, orders->known_count, &orders->known_capacity, sizeof known);
    u64 index = orders->known_count++;
    orders->known[index] = known;
    if (2 * orders->known_count > orders->by_name.mask)
        maps_rebuild(orders);
    else
        map_put(&orders->by_name, known_hash(orders, index), index);
    return (uint32_t)index;
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

void orders_init(struct orders *orders) {
    memset(orders, 0, sizeof *orders);
    while (getrandom(orders->seed, sizeof orders->seed, 0) != (ssize_t)sizeof orders->seed)
        ;
    orders->seed[1] |= 1;
    maps_rebuild(orders);
}

void orders_free(struct orders *orders) {
    free(orders->tracked);
    free(orders->known);
    free(orders->by_id.entries);
    free(orders->by_name.entries);
}

static int is_open(const struct tracked *order) {
    return order->status == STATUS_NEW || order->status == STATUS_PARTIAL;
}

static void forget(struct orders *orders, u64 before_ns) {
    u64 kept = 0, names = 0;
    uint32_t *moved = malloc((orders->tracked_count + orders->known_count + 1) * sizeof *moved);
    if (moved == 0)
        return; /* forgetting is not needed for being right about what is kept; the next day tries again */
    uint32_t *renamed = moved + orders->tracked_count;
    for (u64 i = 0; i < orders->tracked_count; i++) {
        int keep = is_open(&orders->tracked[i]) || orders->tracked[i].time_ns >= before_ns;
        moved[i] = keep ? (uint32_t)kept : NO_ORDER;
        if (keep)
            orders->tracked[kept++] = orders->tracked[i];
    }
    for (u64 i = 0; i < orders->known_count; i++) {
        struct known known = orders->known[i];
        int has_order = known.order != NO_ORDER;
        uint32_t order = has_order ? moved[known.order] : NO_ORDER;
        int keep = order != NO_ORDER || known.time_ns >= before_ns;
        renamed[i] = keep ? (uint32_t)names : NO_ORDER;
        known.order = order;
        if (keep)
            orders->known[names++] = known;
    }
    for (u64 i = 0; i < kept; i++)
        if (orders->tracked[i].known != NO_ORDER)
            orders->tracked[i].known = renamed[orders->tracked[i].known];
    orders->tracked_count = kept;
    orders->known_count = names;
    free(moved);
    maps_rebuild(orders);
}

void orders_advance(struct orders *orders, u64 time_ns) {
    u64 day = time_ns / DAY_NS;
    if (day == orders->day)
        return;
    orders->day = day;
    if (orders->known_count + orders->tracked_count > 0)
        forget(orders, (day - 1) * DAY_NS);
}

int orders_load(struct orders *orders, const struct tracked *tracked, u64 tracked_count, const struct known *known,
                u64 known_count, u64 day) {
    for (u64 i = 0; i < tracked_count; i++)
        if (tracked[i].known != NO_ORDER && tracked[i].known >= known_count)
            return 0;
    for (u64 i = 0; i < known_count; i++)
        if (known[i].order != NO_ORDER && known[i].order >= tracked_count)
            return 0;
    orders->tracked_capacity = tracked_count + ENTRIES_MIN;
    orders->known_capacity = known_count + ENTRIES_MIN;
    orders->tracked = malloc(orders->tracked_capacity * sizeof *tracked);
    orders->known = malloc(orders->known_capacity * sizeof *known);
    if (orders->tracked == 0 || orders->known == 0)
        abort();
    memcpy(orders->tracked, tracked, tracked_count * sizeof *tracked);
    memcpy(orders->known, known, known_count * sizeof *known);
    orders->tracked_count = tracked_count;
    orders->known_count = known_count;
    orders->day = day;
    maps_rebuild(orders);
    return 1;
}

/* ---- before the core ----------------------------------------------------------------------------------------- */

/* An instrument's owner word holds its assets, that of a busted trade both sides. */
static uint16_t command_session(const struct command *command) {
    u64 kind = command->head & 0xff;
    return kind == COMMAND_INSTRUMENT || kind == COMMAND_BUST ? 0 : (uint16_t)(command->owner >> 32);
}

const struct known *orders_known(const struct orders *orders, uint16_t session, const char *clordid) {
    u64 index = known_find(orders, session, clordid);
    return index == NO_ORDER ? 0 : &orders->known[index];
}

static int is_stop(u64 ord_type) {
    return ord_type == ORD_STOP || ord_type == ORD_STOP_LIMIT;
}

/* A replace names the order's own type, or none; what has become a limit order may be called one. */
static int type_stays(const struct tracked *order, u64 ord_type) {
    if (ord_type == 0 || ord_type == order->ord_type)
        return 1;
    int limit_now = (order->ord_type == ORD_STOP_LIMIT && order->triggered) || order->ord_type == ORD_MARKET_TO_LIMIT;
    return ord_type == ORD_LIMIT && limit_now;
}

u64 orders_precheck(const struct orders *orders, struct command *command, const struct names *names) {
    u64 kind = command->head & 0xff, side = command->head >> 8 & 0xff;
    if (kind < COMMAND_NEW || kind > COMMAND_REPLACE)
        return 0;
    u64 reason = 0;
    uint16_t session = command_session(command);
    if (kind != COMMAND_NEW && names->orig_clordid[0] != 0) {
        const struct known *original = orders_known(orders, session, names->orig_clordid);
        int found = original != 0 && original->names_order && original->order != NO_ORDER;
        const struct tracked *order = found ? &orders->tracked[original->order] : 0;
        command->order_id = found ? order->order_id : 0;
        if (!found)
            reason = REJECT_SESSION_UNKNOWN_ORIG_CLORDID;
        else if (order->symbol != command->head >> 48 || order->account != (uint32_t)command->owner ||
                 (side != 0 && order->side != side))
            reason = REJECT_SESSION_SYMBOL_MISMATCH;
        else if (kind == COMMAND_REPLACE && !type_stays(order, command->head >> 16 & 0xff))
            reason = REJECT_SESSION_UNSUPPORTED_VALUE;
    }
    if (names->clordid[0] != 0 && orders_known(orders, session, names->clordid) != 0)
        reason = REJECT_SESSION_DUPLICATE_CLORDID;
    return reason;
}

/* A refused order's price: as asked for, 0 of a type that has none. */
static u64 command_price(const struct command *command) {
    u64 ord_type = command->head >> 16 & 0xff;
    return ord_type == ORD_LIMIT || ord_type == ORD_STOP_LIMIT ? command->price_ticks : 0;
}

/* ---- after the core ------------------------------------------------------------------------------------------ */

static u64 event_kind_of(const struct event *event) {
    return event->head & 0xff;
}

static u64 order_add(struct orders *orders, const struct command *c, const struct names *names,
                     const struct event *event, enum status status) {
    struct tracked order = {
        .order_id = event->order_id,
        .order_qty_lots = c->qty_lots,
        .leaves_lots = event->leaves_lots,
        .price_ticks = status == STATUS_REJECTED ? command_price(c) : event->price_ticks,
        .last_exec_id = event->exec_id,
        .detail = c->order_id,
        .aux = c->aux,
        .time_ns = c->time_ns,
        .account = (uint32_t)c->owner,
        .known = NO_ORDER,
        .session = command_session(c),
        .symbol = (uint16_t)(c->head >> 48),
        .side = (uint8_t)(c->head >> 8),
        .ord_type = (uint8_t)(c->head >> 16),
        .tif = (uint8_t)(c->head >> 24),
        .order_flags = (uint8_t)(c->head >> 32),
        .status = (uint8_t)status,
        .peg = names->peg,
    };
    u64 index = tracked_add(orders, &order);
    orders->tracked[index].known = known_add(orders, order.session, names->clordid, index, 1, c->time_ns);
    return index;
}

/* A request's ClOrdID that an event of its own answers: accepted, it is a further name of the order. */
static uint32_t request_add(struct orders *orders, const struct command *c, const struct names *names, u64 order,
                            int accepted) {
    return known_add(orders, command_session(c), names->clordid, order, accepted, c->time_ns);
}

/* The fill of a position that is being liquidated: no order entered for it (matching rule F10.5). */
static int is_liquidation(const struct event *event) {
    return event_kind_of(event) == EVENT_FILL && (event->order_id & ORDER_SLOT_NONE) == ORDER_SLOT_NONE;
}

/* One side of a trade is taken back: its order, if it is known still, has done less. What it has open stays so. */
static u64 bust(struct orders *orders, const struct command *c, const struct names *names, const struct event *e) {
    u64 side = e->head >> 16 & 0xff, value = e->price_ticks * e->qty_lots;
    u64 index = tracked_find(orders, bust_order_id(names, side));
    if (index == NO_ORDER)
        return NO_ORDER;
    struct tracked *order = &orders->tracked[index];
    if (order->side != side || order->symbol != e->head >> 48 || order->account != (uint32_t)e->owner ||
        order->cum_lots < e->qty_lots || order->value < value)
        return NO_ORDER; /* not the order of this trade, whatever the annex says */
    order->cum_lots -= e->qty_lots;
    order->value -= value;
    order->busted_lots += e->qty_lots;
    order->busted_value += value;
    order->last_exec_id = e->exec_id;
    order->time_ns = c->time_ns;
    order->status = !is_open(order) ? STATUS_CANCELLED : order->cum_lots > 0 ? STATUS_PARTIAL : STATUS_NEW;
    return index;
}

/* The order's new facts; returns its index, NO_ORDER when the event is about none. */
static u64 track(struct orders *orders, const struct command *c, const struct names *names, const struct event *e) {
    u64 kind = event_kind_of(e), refused = c->head >> 40 & 0xff;
    if (kind == EVENT_ACCEPTED)
        return order_add(orders, c, names, e, STATUS_NEW);
    if (kind == EVENT_REJECTED)
        return refused == REJECT_SESSION_DUPLICATE_CLORDID ? NO_ORDER : order_add(orders, c, names, e, STATUS_REJECTED);
    if (kind > EVENT_EXPIRED && (kind < EVENT_TRIGGERED || kind > EVENT_RESTATED))
        return kind == EVENT_BUSTED ? bust(orders, c, names, e) : NO_ORDER;
    if (is_liquidation(e))
        return NO_ORDER;
    u64 index = tracked_find(orders, e->order_id);
    if (kind == EVENT_CANCEL_REJECTED) {
        if (refused != REJECT_SESSION_DUPLICATE_CLORDID)
            request_add(orders, c, names, index, 0);
        return index;
    }
    if (index == NO_ORDER)
        abort(); /* the core reports on an order that never was: state is broken, stop before anything is said */
    struct tracked *order = &orders->tracked[index];
    order->last_exec_id = e->exec_id;
    order->time_ns = c->time_ns;
    order->leaves_lots = kind == EVENT_TRIGGERED ? e->qty_lots : e->leaves_lots;
    if (kind == EVENT_FILL) {
        order->cum_lots += e->qty_lots;
        order->value += e->price_ticks * e->qty_lots;
        enum status done = order->busted_lots == 0 ? STATUS_FILLED : STATUS_CANCELLED; /* not all of it stands */
        order->status = e->leaves_lots == 0 ? done : STATUS_PARTIAL;
    } else if (kind == EVENT_TRIGGERED) {
        order->price_ticks = e->price_ticks;
        order->triggered = 1;
    } else if (kind == EVENT_RESTATED) {
        order->price_ticks = e->price_ticks;
        order->order_qty_lots = e->qty_lots;
    } else if (kind == EVENT_REPLACED) {
        order->price_ticks = e->price_ticks;
        order->order_qty_lots = e->qty_lots;
        order->status = order->cum_lots > 0 ? STATUS_PARTIAL : STATUS_NEW;
        if (is_stop(order->ord_type) && !order->triggered && c->aux != 0)
            order->detail = c->aux;
        if (names->clordid[0] != 0) { /* the member's own, and not a price that the venue has moved */
            u64 after = c->seq - (order->order_id >> 24);
            order->terms_after = after < NO_ORDER ? (uint32_t)after : NO_ORDER;
            order->peg = names->peg;
        }
        uint32_t name = request_add(orders, c, names, index, 1);
        if (name != NO_ORDER)
            orders->tracked[index].known = name;
    } else if (kind != EVENT_REFRESHED) {
        order->status = kind == EVENT_EXPIRED ? STATUS_EXPIRED : STATUS_CANCELLED;
        if (kind == EVENT_CANCELLED && (c->head & 0xff) == COMMAND_CANCEL)
            request_add(orders, c, names, index, 1);
    }
    return index;
}

static void report_order(const struct orders *orders, const struct tracked *order, struct report *report) {
    report->order_qty_lots = order->order_qty_lots;
    report->order_price_ticks = order->price_ticks;
    report->cum_lots = order->cum_lots;
    report->value = order->value;
    report->order_detail = order->detail;
    report->order_aux = order->aux;
    report->symbol = order->symbol;
    report->side = order->side;
    report->ord_type = order->ord_type;
    report->tif = order->tif;
    report->order_flags = order->order_flags;
    report->peg = order->peg;
    report->status = order->status;
    if (order->known != NO_ORDER)
        memcpy(report->clordid, orders->known[order->known].clordid, CLORDID_BYTES);
}

static void report_command(const struct command *c, const struct names *names, struct report *report) {
    report->order_qty_lots = c->qty_lots;
    report->order_price_ticks = command_price(c);
    if ((c->head & 0xff) == COMMAND_NEW) {
        report->order_detail = c->order_id;
        report->order_aux = c->aux;
    }
    report->symbol = (uint16_t)(c->head >> 48);
    report->side = (uint8_t)(c->head >> 8);
    report->ord_type = (uint8_t)(c->head >> 16);
    report->tif = (uint8_t)(c->head >> 24);
    report->order_flags = (uint8_t)(c->head >> 32);
    report->peg = names->peg;
}

/* Each fill of a liquidation is reported as an order of its own: what is left is said by the position, not by an order. */
static void report_liquidation(const struct event *event, struct report *report) {
    report->order_qty_lots = event->qty_lots;
    report->cum_lots = event->qty_lots;
    report->value = event->price_ticks * event->qty_lots;
    report->side = (uint8_t)(event->head >> 16);
    report->ord_type = ORD_MARKET;
    report->tif = TIF_IOC;
    report->status = STATUS_FILLED;
    report->event.leaves_lots = 0;
}

/* One side of a busted trade, its order known or not: with an order quantity of 0 the annex says what is to be told. */
static void report_bust(const struct names *names, const struct tracked *order, struct report *report) {
    report->side = (uint8_t)(report->event.head >> 16);
    if (order != 0) {
        report->event.leaves_lots = order->leaves_lots;
        return;
    }
    report->order_qty_lots = report->order_price_ticks = 0;
    u64 bytes = 0;
    const uint8_t *clordid = bust_value(names, report->side, "11", &bytes);
    if (clordid != 0 && bytes < CLORDID_BYTES)
        memcpy(report->clordid, clordid, bytes);
}

void orders_apply(struct orders *orders, const struct command *command, const struct names *names,
                  const struct event *event, struct report *report) {
    u64 kind = event_kind_of(event), index = track(orders, command, names, event);
    memset(report, 0, sizeof *report);
    report->event = *event;
    report->time_ns = command->time_ns;
    u64 done = command->head & 0xff; /* the word of these is the command's own, which holds no session */
    int for_nobody = done == COMMAND_INSTRUMENT || (done == COMMAND_BUST && kind == EVENT_COMMAND_REJECTED);
    report->session = for_nobody ? 0 : (uint16_t)(event->owner >> 32);
    report->account = (uint32_t)event->owner;
    report->command_kind = (uint8_t)command->head;
    report->command_session_differs = report->session != command_session(command);
    if (index != NO_ORDER)
        report_order(orders, &orders->tracked[index], report);
    else
        report_command(command, names, report);
    if (is_liquidation(event))
        report_liquidation(event, report);
    if (kind == EVENT_BUSTED)
        report_bust(names, index == NO_ORDER ? 0 : &orders->tracked[index], report);
    if (kind == EVENT_REJECTED || kind == EVENT_CANCEL_REJECTED)
        report->status = index == NO_ORDER || kind == EVENT_REJECTED ? STATUS_REJECTED : report->status;
    int named = names->clordid[0] != 0 || names->orig_clordid[0] != 0; /* 0: the venue acts by itself for a session */
    int answers = kind == EVENT_REJECTED || kind == EVENT_CANCEL_REJECTED ||
                  (kind == EVENT_REPLACED && names->clordid[0] != 0) || kind == EVENT_MASS_CANCELLED ||
                  kind == EVENT_COMMAND_REJECTED ||
                  (kind == EVENT_CANCELLED && (command->head & 0xff) == COMMAND_CANCEL && named &&
                   !report->command_session_differs);
    if (answers) { /* to the request itself: its names */
        memcpy(report->clordid, names->clordid, CLORDID_BYTES);
        memcpy(report->orig_clordid, names->orig_clordid, CLORDID_BYTES);
    }
}

/* ---- questions ----------------------------------------------------------------------------------------------- */

const struct tracked *orders_of_id(const struct orders *orders, u64 order_id) {
    u64 index = tracked_find(orders, order_id);
    return index == NO_ORDER ? 0 : &orders->tracked[index];
}

static void status_write(const struct orders *orders, const struct tracked *order, struct order_status *status) {
    memset(status, 0, sizeof *status);
    status->order_id = order->order_id;
    status->order_qty_lots = order->order_qty_lots;
    status->leaves_lots = order->leaves_lots;
    status->cum_lots = order->cum_lots;
    status->value = order->value;
    status->price_ticks = order->price_ticks;
    status->last_exec_id = order->last_exec_id;
    status->order_detail = order->detail;
    status->order_aux = order->aux;
    status->account = order->account;
    status->session = order->session;
    status->symbol = order->symbol;
    status->side = order->side;
    status->ord_type = order->ord_type;
    status->tif = order->tif;
    status->order_flags = order->order_flags;
    status->peg = order->peg;
    status->status = order->status;
    if (order->known != NO_ORDER)
        memcpy(status->clordid, orders->known[order->known].clordid, CLORDID_BYTES);
}

int orders_find(const struct orders *orders, uint16_t session, const char *clordid, struct order_status *status) {
    const struct known *known = orders_known(orders, session, clordid);
    if (known == 0 || !known->names_order || known->order == NO_ORDER) {
        memset(status, 0, sizeof *status);
        return 0;
    }
    status_write(orders, &orders->tracked[known->order], status);
    return 1;
}

u64 orders_open_part(const struct orders *orders, uint16_t session, u64 *next, u64 limit, struct order_status *found) {
    u64 count = 0, end = orders->tracked_count - *next < limit ? orders->tracked_count : *next + limit;
    for (; *next < end; ++*next) {
        const struct tracked *order = &orders->tracked[*next];
        if (order->session == session && is_open(order))
            status_write(orders, order, &found[count++]);
    }
    return count;
}

u64 orders_bytes(const struct orders *orders) {
    u64 entries = orders->by_id.mask + orders->by_name.mask + 2;
    return orders->tracked_count * sizeof *orders->tracked + orders->known_count * sizeof *orders->known +
           entries * sizeof(u64);
}

u64 orders_open(const struct orders *orders, uint16_t session, struct order_status *found) {
    u64 count = 0;
    for (u64 i = 0; i < orders->tracked_count; i++) {
        const struct tracked *order = &orders->tracked[i];
        if (order->session != session || !is_open(order))
            continue;
        if (found != 0)
            status_write(orders, order, &found[count]);
        count++;
    }
    return count;
}

u64 orders_check(const struct orders *orders, const struct core *core) {
    u64 open = 0, resting = 0;
    for (u64 i = 0; i < orders->tracked_count; i++) {
        const struct tracked *order = &orders->tracked[i];
        struct order_view view;
        if (tracked_find(orders, order->order_id) != i)
            return 1;
        if (order->known != NO_ORDER && orders->known[order->known].order != i)
            return 2;
        if (!is_open(order))
            continue;
        open++;
        if (!core_find_order(core, order->symbol, order->order_id, &view))
            return 3;
        u64 filled = order->cum_lots + order->busted_lots; /* as the core counts */
        if (view.leaves_lots != order->leaves_lots || view.cum_lots != filled ||
            filled + order->leaves_lots != order->order_qty_lots)
            return 4;
        if (order->price_ticks != 0 && view.price_ticks != order->price_ticks)
            return 4; /* without a price of its own it stands at the collar's end, or nowhere */
    }
    for (u64 i = 0; i < orders->known_count; i++)
        if (known_find(orders, orders->known[i].session, orders->known[i].clordid) != i)
            return 5;
    for (u64 symbol = 0; symbol < core_symbol_count(core); symbol++)
        resting += core_open_orders(core, symbol);
    return open == resting ? 0 : 6;
}
