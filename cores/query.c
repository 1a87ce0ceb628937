/* Questions about the state. They change nothing, and answer 0 for what does not exist. */
#include "ladder.h"

u64 core_last_seq(const struct core *core) {
    return core->last_seq;
}

u64 core_symbol_count(const struct core *core) {
    return core->symbol_count;
}

u64 core_account_count(const struct core *core) {
    return core->account_count;
}

static const struct symbol *symbol_named(const struct core *core, u64 number) {
    return number < core->symbol_count ? symbol_peek(core, number) : 0;
}

int core_find_order(const struct core *core, u64 symbol, u64 order_id, struct order_view *view) {
    const struct symbol *s = symbol_named(core, symbol);
    u64 slot = order_id & ORDER_SLOT_NONE;
    if (s == 0 || slot >= core->config.orders || bitmap_has(slots_of(core, s), slot))
        return 0;
    const struct order *order = &orders_of(core, s)[slot];
    if (order->id != order_id)
        return 0;
    view->order_id = order->id;
    u64 is_cold = order->facts >> 32 & FACT_COLD;
    const struct cold *cold = &colds_of(core, s)[slot];
    view->hidden_lots = is_cold ? cold->hidden : 0;
    view->display_lots = is_cold ? cold->display : 0;
    view->stop_ticks = is_cold ? cold->stop : 0;
    view->expiry_ns = is_cold ? cold->expiry_ns : 0;
    view->leaves_lots = order->leaves + view->hidden_lots;
    view->price_ticks = order->price;
    view->cum_lots = order->cum;
    view->owner = order->owner;
    view->flags = order->facts;
    return 1;
}

u64 core_depth(const struct core *core, u64 symbol, enum side side, u64 levels_max, u64 *price_ticks, u64 *qty_lots) {
    const struct symbol *s = symbol_named(core, symbol);
    u64 index = (u64)side - 1, count = 0;
    if (s == 0 || index > ASK)
        return 0;
    for (u64 key = s->best[index]; key != LEVEL_NONE && count < levels_max; count++) {
        price_ticks[count] = ladder_price(s, index, key);
        qty_lots[count] = level_at(core, s, index, key)->lots;
        key = ladder_next(core, s, index, key);
    }
    return count;
}

u64 core_best_price(const struct core *core, u64 symbol, enum side side, u64 *price_ticks, u64 *qty_lots) {
    return core_depth(core, symbol, side, 1, price_ticks, qty_lots);
}

u64 core_open_orders(const struct core *core, u64 symbol) {
    const struct symbol *s = symbol_named(core, symbol);
    return s == 0 ? 0 : s->order_count;
}

u64 core_phase(const struct core *core, u64 symbol) {
    const struct symbol *s = symbol_named(core, symbol);
    return s == 0 ? PHASE_CLOSED : s->phase;
}

u64 core_last_price(const struct core *core, u64 symbol, u64 *reference_ticks) {
    const struct symbol *s = symbol_named(core, symbol);
    *reference_ticks = s == 0 ? 0 : s->reference_ticks;
    return s == 0 ? 0 : s->last_ticks;
}

u64 core_expiry_next(const struct core *core, u64 symbol) {
    const struct symbol *s = symbol_named(core, symbol);
    return s == 0 ? ~0ull : s->expiry_next;
}

u64 core_indicative(const struct core *core, u64 symbol, struct indicative *indicative) {
    const struct symbol *s = symbol_named(core, symbol);
    if (s != 0 && phase_is_call(s->phase))
        return uncross_find(core, s, indicative);
    indicative->price_ticks = 0;
    indicative->qty_lots = 0;
    indicative->surplus_lots = 0;
    indicative->surplus_side = SIDE_NONE;
    return 0;
}

u64 core_supply(const struct core *core, u64 asset) {
    return asset < core->config.assets ? supply_of(core, asset)[0] : 0;
}

u64 core_balance(const struct core *core, u64 account, u64 asset, u64 *hold, u64 *credit) {
    const struct account *a = account < core->account_count ? account_peek(core, account) : 0;
    if (a == 0 || asset >= core->config.assets) {
        *hold = 0;
        *credit = 0;
        return 0;
    }
    const struct position *p = position_of(a, asset);
    *hold = is_contract(core, asset) ? 0 : p->hold;
    *credit = is_contract(core, asset) ? 0 : p->credit;
    return p->balance;
}
