"""The core with one rule broken at a time, as changes to its source text.

Why: a proof is worth something only if every rule of the market is inside what is proved. Each of these programs is a
venue that cheats in one place; none of them may reach the public values of the published program. The core has a short
way for plain orders beside the one with all the rules, so some rules are to be broken in two places.
"""

from __future__ import annotations

from dataclasses import dataclass

ENTRY, MATCH, TRIGGER, EXPIRY, CHANGE, BOOK = "entry.c", "match.c", "trigger.c", "expiry.c", "change.c", "book.h"
MONEY, LADDER, ACCOUNT, CORE, INSTRUMENT = "money.h", "ladder.h", "account.c", "core.c", "instrument.c"
UNCROSS, PHASE, LIMITS, FUTURE = "uncross.c", "phase.c", "limits.c", "future.c"


@dataclass(frozen=True)
class Mutant:
    """In each of these files of cores/ an old text becomes a new one."""

    rule: str
    changes: tuple[tuple[str, str, str], ...]  # file, old, new


def mutant(rule: str, file: str, *changes: tuple[str, str], also: tuple[tuple[str, str, str], ...] = ()) -> Mutant:
    return Mutant(rule, tuple((file, old, new) for old, new in changes) + also)


MUTANTS = [
    mutant("trades at the limit price", MATCH, ("s->best[other] <= a->key_max &&", "s->best[other] < a->key_max &&")),
    mutant(
        "trades at the resting order's price",
        MATCH,
        ("maker->id, last, lots, left + hidden", "maker->id, last + 1, lots, left + hidden"),
    ),
    mutant(
        "time priority",
        LADDER,
        (
            "order->prev = level->tail;\n        orders[level->tail].next = slot;\n        level->tail = slot;",
            "order->next = level->head;\n        order->prev = SLOT_NONE;\n"
            "        orders[level->head].prev = slot;\n        level->head = slot;",
        ),
    ),
    mutant(
        "price priority",
        LADDER,
        ("if (key < s->best[side])", "if (key > s->best[side] || s->best[side] == LEVEL_NONE)"),
    ),
    mutant(
        "fees are rounded down",
        MONEY,
        ("return amount * bp / FEE_DENOMINATOR;", "return (amount * bp + 9999) / FEE_DENOMINATOR;"),
    ),
    mutant(
        "the aggressor pays the taker's fee",
        MATCH,
        ("*taker_fee = fee_of(notional, a->account->taker_bp)", "*taker_fee = fee_of(notional, a->account->maker_bp)"),
    ),
    mutant(
        "the resting order pays the maker's fee",
        MATCH,
        ("(notional, resting->maker_bp, *taker_fee)", "(notional, resting->taker_bp, *taker_fee)"),
    ),
    mutant("the venue gets both fees", MATCH, ("fees += maker_fee + taker_fee;", "fees += taker_fee;")),
    mutant(
        "a buyer pays", MATCH, ("taker_quote->balance -= notional + *taker_fee;", "taker_quote->balance -= *taker_fee;")
    ),
    mutant("a fill gives its hold back", MATCH, ("maker_base->hold -= base_units;", "")),
    mutant(
        "IOC does not rest",
        TRIGGER,
        ("!market && tif != TIF_IOC && tif", "!market && tif"),
        also=((ENTRY, "price != 0 && command_tif(c) != TIF_IOC", "price != 0"),),
    ),
    mutant(
        "FOK is all or nothing",
        TRIGGER,
        ("return lots >= need ? REASON_NONE : reason;", "return lots != 0 ? REASON_NONE : reason;"),
    ),
    mutant("MinQty counts", TRIGGER, ("command_tif(c) == TIF_GTD ? 0 : c->aux, reason", "0, reason")),
    mutant("all or none", TRIGGER, ("command_flags(c) & FLAG_ALL_OR_NONE && best", "0 && best")),
    mutant("an open order holds", ENTRY, ("p->hold += hold;", "")),
    mutant("post-only does not take", ENTRY, ("if (flags & FLAG_POST_ONLY && post", "if (0 && post")),
    mutant("a sliding order stands one tick behind", ENTRY, ("? best - 1 : best + 1", "? best - 2 : best + 2")),
    mutant("the collar's low end", BOOK, ("return price >= s->min_ticks &&", "return price > s->min_ticks &&")),
    mutant("the collar's high end", BOOK, ("&& price <= s->max_ticks;", "&& price < s->max_ticks;")),
    mutant("no order without funds", ENTRY, ("if (exceeds(hold, available_of(p) + released) && hold != 0)", "if (0)")),
    mutant("no order beyond the gross limit", ENTRY, ("return p->gross_max != 0 &&", "return 0 &&")),
    mutant("a market buy pays as it goes", MATCH, ("if (a->pays_as_goes && !can_pay(", "if (0 && !can_pay(")),
    mutant("frozen accounts do not trade", ENTRY, ("if (account->flags & FLAG_ACCOUNT_FROZEN)", "if (0)")),
    mutant("no order in a closed market", ENTRY, ("if (!phase_allows(s, c))", "if (0)")),
    mutant("an iceberg shows a sixteenth at least", ENTRY, ("display * ICEBERG_TRANCHES_MAX >= c->qty_lots;", "1;")),
    mutant("an at-close order lies dormant", ENTRY, ("        fact = FACT_DORMANT;\n", "")),
    mutant(
        "only own orders are cancelled",
        BOOK,
        (" || owner_account(order->owner) != owner_account(c->owner)", ""),
    ),
    mutant(
        "less quantity keeps the place",
        CHANGE,
        ("change.leaves <= change.all ?", "change.leaves < change.all - 1 ?"),
        ("&& leaves <= order->leaves ?", "&& leaves < order->leaves - 1 ?"),
    ),
    mutant(
        "more quantity loses the place",
        CHANGE,
        ("change.leaves <= change.all ?", "change.leaves <= change.all + 9 ?"),
        ("&& leaves <= order->leaves ?", "&& leaves <= order->leaves + 9 ?"),
    ),
    mutant(
        "no REPLACE below the filled part", CHANGE, ("if (c->qty_lots <= order->cum)", "if (c->qty_lots < order->cum)")
    ),
    mutant(
        "less quantity is taken from what is hidden",
        CHANGE,
        ("hidden_less = smaller_of(less,", "hidden_less = smaller_of(0,"),
    ),
    mutant("a stop may be moved", CHANGE, ("c->aux != 0 ? c->aux : cold->stop", "cold->stop")),
    mutant("mass cancel by session", EXPIRY, ("command_flags(c) ? OWNER_ORDER_MASK : 0xffffffff", "0xffffffff")),
    mutant("Day orders expire", EXPIRY, ("ends = tif == TIF_DAY &&", "ends = tif != TIF_DAY &&")),
    mutant(
        "zero quantity is refused",
        BOOK,
        ("return lots != 0 && lots >> 40 == 0;", "return lots >> 40 == 0;"),
    ),
    mutant("an unknown side is refused", ENTRY, ("if (command_side(c) - 1 > 1)", "if (command_side(c) - 1 > 2)")),
    mutant("prechecked commands do nothing", CORE, ("    if (precheck != 0)", "    if (0)")),
    mutant("a deposit counts once", ACCOUNT, ("p->balance += amount;", "p->balance += 2 * amount;")),
    mutant(
        "no withdrawal beyond the balance",
        ACCOUNT,
        ("(int64_t)p->balance < (int64_t)amount || exceeds(amount, available_of(p)) || amount > supply[0]", "0"),
    ),
    mutant("fees stay under open orders", ACCOUNT, ("&& has_hold(core, account))", "&& 0)")),
    mutant("terms stay under open orders", INSTRUMENT, ("if ((s->order_count | s->open_interest) != 0)", "if (0)")),
    mutant("the lowest free slot", BOOK, ("|| slot < s->slot_first)", "|| (slot < s->slot_first && slot > 3))")),
    # The uncross.
    mutant("the uncross trades most", UNCROSS, ("volume < best->volume ||", "0 ||")),
    mutant("the uncross leaves least", UNCROSS, ("&& surplus > best->surplus)", "&& 0)")),
    mutant("buyers press the price up", UNCROSS, ("if (best->all_buy)", "if (0)")),
    mutant("sellers press the price down", UNCROSS, ("if (best->all_sell)", "if (0)")),
    mutant(
        "without pressure the reference decides",
        UNCROSS,
        ("if (s->reference_ticks == 0)", "if (s->reference_ticks != 1)"),
    ),
    mutant(
        "the reference is held in",
        UNCROSS,
        ("return smaller_of(best->high, s->reference_ticks);", "return s->reference_ticks;"),
    ),
    mutant("without a reference the middle", UNCROSS, ("(best->low + best->high) / 2", "best->low")),
    mutant("orders without a price are no candidates", UNCROSS, ("if (key != 0)\n        return 1;", "return 1;")),
    mutant("hidden lots count in the uncross", UNCROSS, ("return level->lots + level->hidden;", "return level->lots;")),
    mutant("an iceberg keeps its place in the uncross", UNCROSS, ("+ order_hidden(core, s, slot);", ";")),
    mutant(
        "both pay the taker's fee in the uncross",
        UNCROSS,
        ("fee_of(notional, account->taker_bp);", "fee_of(notional, account->maker_bp);"),
    ),
    mutant(
        "the uncross trades at one price",
        UNCROSS,
        ("order->id, found->price_ticks,", "order->id, order->price,"),
    ),
    mutant("the uncross makes the last price", UNCROSS, ("    s->last_ticks = found->price_ticks;\n", "")),
    mutant("the uncross makes the reference price", UNCROSS, ("    s->reference_ticks = found->price_ticks;\n", "")),
    # Phases.
    mutant("the same phase is no way", PHASE, (" || target == s->phase)", ")")),
    mutant("a crossed book does not go on", PHASE, ("&& is_crossed(s))", "&& 0)")),
    mutant("closing without an uncross", PHASE, ("|| command_flags(c) || (target", "|| (target")),
    mutant("the dormant wait for the closing call", PHASE, ("if (target == PHASE_CLOSE_CALL &&", "if (0 &&")),
    mutant(
        "auction orders end with it",
        PHASE,
        ("if ((target == PHASE_CONTINUOUS || target == PHASE_CLOSED) &&", "if (0 &&"),
    ),
    mutant(
        "stops are triggered by the opening", PHASE, ("if (target == PHASE_CONTINUOUS && s->last_ticks != 0)", "if (0)")
    ),
    mutant("the dynamic band", PHASE, ("narrow_band(s, s->last_ticks, s->dynamic_bp);", "")),
    mutant("the static band", PHASE, ("narrow_band(s, s->reference_ticks, s->static_bp);", "")),
    mutant(
        "an instrument may begin closed",
        INSTRUMENT,
        ("flags & FLAG_INSTRUMENT_CLOSED ? PHASE_CLOSED : PHASE_CONTINUOUS", "PHASE_CONTINUOUS"),
    ),
    mutant(
        "other terms forget the prices",
        INSTRUMENT,
        ("    s->reference_ticks = 0;\n    s->is_wide", "    s->is_wide"),
    ),
    # Limits.
    mutant("most lots of an order", LIMITS, ("qty > s->order_qty_max)", "qty > s->order_qty_max + 1)")),
    mutant("most value of an order", LIMITS, ("0) > s->order_value_max)", "0) > s->order_value_max + 1000)")),
    mutant("restricted assets", LIMITS, ("return account->restricted >> s->base & 1;", "return 0;")),
    mutant("most open orders", LIMITS, ("account->open_orders >= account->open_orders_max)", "0)")),
    mutant("messages a second", LIMITS, ("|| member->messages < member->messages_max)", "|| 1)")),
    mutant("a second ends", LIMITS, (">= MESSAGES_SECOND_NS;", ">= 2 * MESSAGES_SECOND_NS;")),
    mutant(
        "messages count for the member",
        LIMITS,
        (
            "struct account *member = account->member == account->number ? account :",
            "struct account *member = 1 ? account :",
        ),
    ),
    mutant("no order twice", LIMITS, ("return account->duplicate_ns != 0 &&", "return 0 &&")),
    mutant(
        "the window for duplicates ends", LIMITS, ("c->time_ns - account->last_time_ns < account->duplicate_ns", "1")
    ),
    mutant("a killed session", LIMITS, ("if (session_is_killed(core, session & 0xffff))", "if (0)")),
    mutant("a killed member", LIMITS, ("member->flags & ACCOUNT_KILLED ?", "0 ?")),
    mutant(
        "ACCOUNT does not re-arm", ACCOUNT, ("command_flags(c) | (account->flags & ACCOUNT_KILLED)", "command_flags(c)")
    ),
    # Fees.
    mutant("a rebate is no fee", MONEY, ("return -(rebate < taker_fee ? rebate : taker_fee);", "return 0;")),
    mutant("a rebate is at most the aggressor's fee", MONEY, ("-(rebate < taker_fee ? rebate : taker_fee)", "-rebate")),
    # Icebergs, self-matches, collars, stops and expiry.
    mutant(
        "a refresh goes to the end",
        MATCH,
        ("    if (order->next != SLOT_NONE) {\n        struct order", "    if (0) {\n        struct order"),
    ),
    mutant(
        "only what is shown trades",
        MATCH,
        ("u64 lots = maker->leaves < a->leaves ?", "u64 lots = 2 * maker->leaves < a->leaves ?"),
    ),
    mutant(
        "hidden lots can be filled at once",
        "ladder.c",
        ("lots += level->lots + level->hidden;", "lots += level->lots;"),
    ),
    mutant("no self-match", MATCH, ("if (resting->smp_group == a->group)", "if (0)")),
    mutant(
        "decrement takes from both", MATCH, ("    a->leaves -= lots;\n    a->total -= lots;", "    a->total -= lots;")
    ),
    mutant("cancel both", MATCH, (" || a->smp_mode == SMP_CANCEL_BOTH ?", " ?")),
    mutant("an order's own mode first", MATCH, ("    if (mode == SMP_NONE)\n", "")),
    mutant("FOK does not count its own group", MATCH, ("if (resting->smp_group != a->group)", "if (1)")),
    mutant(
        "no trade outside the band",
        MATCH,
        ("smaller_of(a->key_price, a->side == BID ? high : window - low)", "a->key_price"),
    ),
    mutant(
        "the collar begins a call",
        MATCH,
        ("        phase_trip(s, out);\n        return CANCEL_VOLATILITY;", "        return REASON_NONE;"),
    ),
    mutant(
        "IOC does not wait for the auction",
        TRIGGER,
        ("(reason == CANCEL_VOLATILITY && may_rest)", "reason == CANCEL_VOLATILITY"),
        also=((ENTRY, "(reason != CANCEL_VOLATILITY || !may_rest)", "reason != CANCEL_VOLATILITY"),),
    ),
    mutant("a stop is due at its price", BOOK, ("side == BID ? price >= stop :", "side == BID ? price > stop :")),
    mutant("a sell stop is due below", BOOK, (": price <= stop;", ": price < stop;")),
    mutant(
        "stops first in first",
        TRIGGER,
        ("elect(core, s, STOP_BUY, trades.high, &queue);", "elect(core, s, STOP_BUY, trades.low, &queue);"),
    ),
    mutant(
        "a stop in a call needs funds",
        TRIGGER,
        (
            "         !order_is_funded(s, account, order)))\n        reason = CANCEL_FUNDS;",
            "         0))\n        reason = CANCEL_FUNDS;",
        ),
    ),
    mutant("GTD orders expire at their time", EXPIRY, ("expiry_ns <= c->time_ns;", "expiry_ns + 9 <= c->time_ns;")),
    mutant(
        "unpriced orders end with the auction",
        EXPIRY,
        ("        else if (facts & FACT_UNPRICED)\n", "        else if (0)\n"),
    ),
    mutant(
        "market-to-limit takes the price of the uncross",
        EXPIRY,
        ("if (price == 0 || cost_checked", "if (1 || cost_checked"),
    ),
    # Futures.
    mutant("a contract is nothing else", INSTRUMENT, ("return !is_contract(core, terms->base);", "return 1;")),
    mutant("cash is no contract", INSTRUMENT, ("(use == ASSET_UNUSED &&", "(1 &&")),
    mutant(
        "a gross limit is for cash",
        LIMITS,
        ("        *asset_use_of(core, owner_asset(c->owner)) = ASSET_CASH;", "        (void)0;"),
    ),
    mutant("a lot of a future is one", INSTRUMENT, ("(terms->lot_size != 1 || future", "(future")),
    mutant(
        "a future stays one",
        INSTRUMENT,
        ("s->is_future != terms.is_future || (s->is_future && s->base != terms.base)", "0"),
    ),
    mutant(
        "terms stay under open positions",
        INSTRUMENT,
        ("(s->order_count | s->open_interest) != 0", "s->order_count != 0"),
    ),
    mutant("a contract is not paid in", ACCOUNT, (" || is_contract(core, owner_asset(c->owner)))", ")")),
    mutant("margin stays under open orders", LIMITS, ("if (amount != s->initial_bp && s->order_count != 0)", "if (0)")),
    mutant("maintenance is at most initial", LIMITS, ("|| maintenance_bp > amount)", ")")),
    mutant(
        "an order in a future holds margin",
        FUTURE,
        ("FACT_CLOSING ? 0 : fee_of(value, s->initial_bp);", "FACT_CLOSING ? 0 : 0;"),
    ),
    mutant(
        "what closes holds no margin", FUTURE, ("<= (int64_t)held ? FACT_CLOSING : 0;", "<= (int64_t)held ? 0 : 0;")
    ),
    mutant(
        "other orders close first",
        FUTURE,
        ("(int64_t)(others + lots) <= (int64_t)held", "(int64_t)lots <= (int64_t)held"),
    ),
    mutant("no position beyond its limit", FUTURE, ("s->position_max < max)", "s->position_max < 1)")),
    mutant("only closing under a call", FUTURE, ("if (stage_of(p) != STAGE_NONE && !closing)", "if (0)")),
    mutant(
        "no order in a future without funds",
        FUTURE,
        ("if (exceeds(hold, available_of(cash) + released) && hold != 0)", "if (0)"),
    ),
    mutant(
        "a market order in a future pays as it goes",
        TRIGGER,
        ("        a.pays_as_goes = 1;\n", "        a.pays_as_goes = 0;\n"),
    ),
    mutant("no market order in a future is FOK", ENTRY, ("    if (tif == TIF_FOK)\n", "    if (0)\n")),
    mutant("no market order in a future has MinQty", ENTRY, ("(s->is_future && ord_type == ORD_MARKET))))", "0)))")),
    mutant("collateral goes back by its share", FUTURE, ("back = share_of(p->collateral, lots, held)", "back = 0")),
    mutant(
        "cost goes by its share", FUTURE, ("share_of(magnitude(p->cost), lots, held), back", "magnitude(p->cost), back")
    ),
    mutant(
        "shares are rounded down", FUTURE, ("return rest * part / whole;", "return (rest * part + whole - 1) / whole;")
    ),
    mutant("a result is realised", FUTURE, ("cash->balance += back + result;", "cash->balance += back;")),
    mutant("opening takes collateral", FUTURE, ("    cash->balance -= margin;\n", "")),
    mutant(
        "the venue gives no collateral",
        FUTURE,
        ("if (account->number == 0)\n        return;", "if (0)\n        return;"),
    ),
    mutant("collateral before the venue", FUTURE, ("smaller_of(p->collateral, -available_of(cash))", "0")),
    mutant("the venue bears the rest", FUTURE, ("    position_of(venue, s->quote)->balance -= lacking;\n", "")),
    mutant("positions pay fees", FUTURE, ("    cash->balance -= fee;\n", "")),
    mutant("open interest", FUTURE, ("s->open_interest += longs_of(p) - longs;", "s->open_interest += 0 * longs;")),
    mutant("a mark is kept", FUTURE, ("    s->mark_ticks = c->price_ticks;\n", "")),
    mutant("money on time lifts the call", FUTURE, ("given = smaller_of(free_of(cash), ", "given = smaller_of(0, ")),
    mutant(
        "no top-up beyond the initial margin",
        FUTURE,
        ("margin->initial - margin->equity)", "2 * margin->initial - margin->equity)"),
    ),
    mutant("a called position waits for trading", FUTURE, ("if (!is_kept && stage == STAGE_CALLED &&", "if (0 &&")),
    mutant("a margin call first", FUTURE, ("if (!is_kept && stage != STAGE_NONE)", "if (!is_kept)")),
    mutant("equity counts the mark", FUTURE, ("p->collateral + value - p->cost;", "p->collateral;")),
    mutant(
        "a liquidation takes the orders off",
        FUTURE,
        ("0xffffffff, SIDE_NONE, CANCEL_MARGIN", "0xffffffff, 3, CANCEL_MARGIN"),
    ),
    mutant(
        "a liquidation keeps within the band",
        FUTURE,
        ("    a.group = GROUP_NONE;\n", "    a.group = GROUP_NONE;\n    a.key_max = ~0ull >> 1;\n"),
    ),
    mutant("a liquidation trips nothing", MATCH, ("!= ORDER_SLOT_NONE; /* a liq", "!= 1; /* a liq")),
    mutant(
        "a liquidation triggers stops", FUTURE, ("return after_trades(core, s, &trades, out);", "return REASON_NONE;")
    ),
    mutant(
        "account 0 takes over",
        FUTURE,
        ("return future_trade(core, s, venue, 0, side ^ 1, price, lots, 0, out);", "return REASON_NONE;"),
    ),
    mutant("settlement waits for the close", FUTURE, ("if (s->phase != PHASE_CLOSED)", "if (0)")),
    mutant(
        "the uncross makes positions",
        UNCROSS,
        (
            "if (future_trade(core, s, accounts[side], order->owner, side,",
            "if (0 && future_trade(core, s, accounts[side], order->owner, side,",
        ),
    ),
    mutant("an order counts as open", BOOK, ("    account->open_orders++;\n", "")),
]
