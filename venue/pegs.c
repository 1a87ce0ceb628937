/* Pegged orders as the engine sees them: plain limit orders whose members asked for a price that follows the market.
 *
 * The order table says which those are (a projection of the journal, so it outlives every crash); who moves them is a
 * service in the engine's process (venue/pegs.py). Must never move one itself. */
#include "engine_internal.h"

#include <string.h>

static const struct tracked *pegged(const struct engine *engine, u64 order_id) {
    const struct tracked *order = orders_of_id(&engine->orders, order_id);
    int open = order != 0 && (order->status == '0' || order->status == '1');
    return open && order->peg != 0 ? order : 0;
}

int pegs_moves(const struct engine *engine, const struct command *command) {
    const struct tracked *order = pegged(engine, command->order_id);
    return order != 0 && order->order_qty_lots == command->qty_lots;
}

static void view(const struct engine *engine, u64 order_id, struct peg_view *view) {
    const struct tracked *order = pegged(engine, order_id);
    memset(view, 0, sizeof *view);
    view->order_id = order_id;
    if (order == 0)
        return;
    view->price_ticks = order->price_ticks;
    view->qty_lots = order->order_qty_lots;
    view->leaves_lots = order->leaves_lots;
    view->account = order->account;
    view->session = order->session;
    view->peg = order->peg;
    view->side = order->side;
    if (order->known != NO_ORDER)
        memcpy(view->clordid, engine->orders.known[order->known].clordid, CLORDID_BYTES);
}

/* At most `count` levels hold nothing but these orders: the one behind them is another's. */
static u64 best_of_others(const struct engine *engine, u64 symbol, enum side side, const struct peg_view *views,
                          u64 count) {
    u64 prices[PEGS_MAX + 1], lots[PEGS_MAX + 1];
    u64 levels = core_depth(engine->core, symbol, side, count + 1, prices, lots);
    for (u64 i = 0; i < levels; i++) {
        u64 theirs = lots[i];
        for (u64 j = 0; j < count; j++)
            if (views[j].side == side && views[j].price_ticks == prices[i])
                theirs -= views[j].leaves_lots;
        if (theirs != 0)
            return prices[i];
    }
    return 0;
}

void pegs_look(const struct engine *engine, u64 symbol, const u64 *order_ids, u64 count, struct peg_view *views,
               u64 best_ticks[2]) {
    for (u64 i = 0; i < count; i++)
        view(engine, order_ids[i], &views[i]);
    best_ticks[0] = best_of_others(engine, symbol, SIDE_BUY, views, count);
    best_ticks[1] = best_of_others(engine, symbol, SIDE_SELL, views, count);
}

u64 pegs_open(const struct engine *engine, u64 *found, u64 capacity) {
    u64 count = 0;
    for (u64 i = 0; i < engine->orders.tracked_count; i++) {
        const struct tracked *order = &engine->orders.tracked[i];
        if (pegged(engine, order->order_id) == 0)
            continue;
        if (count < capacity) {
            found[3 * count] = order->symbol;
            found[3 * count + 1] = order->order_id;
            found[3 * count + 2] = (order->order_id >> 24) + order->terms_after;
        }
        count++;
    }
    return count;
}
