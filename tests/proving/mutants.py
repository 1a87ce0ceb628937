"""The core with one rule broken at a time, as changes to its source text.

Why: a proof is worth something only if every rule of the market is inside what is proved. Each of these programs is a
venue that cheats in one place; none of them may reach the public values of the published program.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`old` in cores/`file` becomes `new`."""

    rule: str
    file: str
    old: str
    new: str


MUTANTS = [
    Mutant(
        "trades at the limit price",
        "book.c",
        "s->best[other] <= a->key_max",
        "s->best[other] < a->key_max",
    ),
    Mutant(
        "at the resting order's price",
        "book.c",
        "maker->owner, maker->id, maker->price, lots,",
        "maker->owner, maker->id, maker->price + 1, lots,",
    ),
    Mutant(
        "time priority",
        "ladder.h",
        "order->prev = level->tail;\n        orders[level->tail].next = slot;\n        level->tail = slot;",
        "order->next = level->head;\n"
        "        order->prev = SLOT_NONE;\n"
        "        orders[level->head].prev = slot;\n"
        "        level->head = slot;",
    ),
    Mutant(
        "price priority",
        "ladder.h",
        "if (key < s->best[side])",
        "if (key > s->best[side] || s->best[side] == LEVEL_NONE)",
    ),
    Mutant(
        "fees are rounded down",
        "money.h",
        "amount % FEE_DENOMINATOR * bp / FEE_DENOMINATOR",
        "(amount % FEE_DENOMINATOR * bp + 9999) / FEE_DENOMINATOR",
    ),
    Mutant(
        "taker pays the taker's fee",
        "book.c",
        "taker_fee = fee_of(notional, a->account->taker_bp)",
        "taker_fee = fee_of(notional, a->account->maker_bp)",
    ),
    Mutant(
        "the venue gets both fees",
        "book.c",
        "balance += maker_fee + taker_fee",
        "balance += taker_fee",
    ),
    Mutant(
        "a buyer pays",
        "book.c",
        "taker_quote->balance -= notional + taker_fee;",
        "taker_quote->balance -= notional;",
    ),
    Mutant(
        "a hold is given back",
        "book.c",
        "maker_quote->hold -= released;",
        "",
    ),
    Mutant(
        "an open order holds",
        "book.c",
        "->hold += hold_of(",
        "->hold += 0 * hold_of(",
    ),
    Mutant(
        "IOC does not rest",
        "book.c",
        "(market || command_tif(c) >= TIF_IOC)",
        "market",
    ),
    Mutant(
        "FOK is all or nothing",
        "book.c",
        "if (lots >= need)",
        "if (lots > 0)",
    ),
    Mutant(
        "MinQty counts",
        "book.c",
        "fok ? c->qty_lots : c->aux",
        "fok ? c->qty_lots : 0",
    ),
    Mutant(
        "post-only does not take",
        "book.c",
        "if (post_only &&",
        "if (0 * post_only &&",
    ),
    Mutant(
        "the collar's low end",
        "book.c",
        "!market && (c->price_ticks < s->min_ticks",
        "!market && (c->price_ticks <= s->min_ticks",
    ),
    Mutant(
        "the collar's high end",
        "book.c",
        "c->price_ticks > s->max_ticks))",
        "c->price_ticks >= s->max_ticks))",
    ),
    Mutant(
        "no order without funds",
        "book.c",
        "if ((side == BID ? cost : (u64)base_units) >",
        "if (0 * (side == BID ? cost : (u64)base_units) >",
    ),
    Mutant(
        "a market buy pays as it goes",
        "book.c",
        "if (a->pays_as_goes && !can_pay(",
        "if (0 && !can_pay(",
    ),
    Mutant(
        "frozen accounts do not trade",
        "book.c",
        "if (account->flags & FLAG_ACCOUNT_FROZEN)",
        "if (0)",
    ),
    Mutant(
        "only own orders are cancelled",
        "book.c",
        " || owner_account(order->owner) != owner_account(c->owner)",
        "",
    ),
    Mutant(
        "less quantity keeps the place",
        "book.c",
        "leaves <= order->leaves ?",
        "leaves < order->leaves - 1 ?",
    ),
    Mutant(
        "more quantity loses the place",
        "book.c",
        "leaves <= order->leaves ?",
        "leaves <= order->leaves + 9 ?",
    ),
    Mutant(
        "no REPLACE below the filled part",
        "book.c",
        "if (c->qty_lots <= order->cum)",
        "if (c->qty_lots < order->cum)",
    ),
    Mutant(
        "mass cancel by session",
        "book.c",
        "command_flags(c) ? OWNER_ORDER_MASK : 0xffffffff",
        "0xffffffff",
    ),
    Mutant(
        "Day orders expire",
        "book.c",
        "!= TIF_DAY)",
        "== TIF_DAY)",
    ),
    Mutant(
        "zero quantity is refused",
        "book.c",
        "if (c->qty_lots - 1 >= QTY_LOTS_MAX)\n        return REJECT_BAD_QTY;\n    return REASON_NONE;",
        "return REASON_NONE;",
    ),
    Mutant(
        "unknown side is refused",
        "book.c",
        "if (command_side(c) - 1 > 1)",
        "if (command_side(c) - 1 > 2)",
    ),
    Mutant(
        "prechecked commands do nothing",
        "core.c",
        "if (command_precheck(c) != 0)",
        "if (0)",
    ),
    Mutant(
        "a deposit counts once",
        "account.c",
        "p->balance += amount;",
        "p->balance += 2 * amount;",
    ),
    Mutant(
        "no withdrawal beyond the balance",
        "account.c",
        "if ((int64_t)p->balance < (int64_t)amount || amount > available_of(p) || amount > supply[0])",
        "if (0)",
    ),
    Mutant(
        "fees stay under open orders",
        "account.c",
        "&& has_hold(core, account))",
        "&& 0)",
    ),
    Mutant(
        "terms stay under open orders",
        "instrument.c",
        "if (s->order_count != 0)",
        "if (0)",
    ),
    Mutant(
        "the lowest free slot",
        "book.c",
        "slot = bitmap_first(slots_of(core, s), core->slot_middle)",
        "slot = core->config.orders - 1 - s->order_count",
    ),
]
