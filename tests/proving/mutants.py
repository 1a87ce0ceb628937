"""The core with one rule broken at a time, as changes to its source text.

Why: a proof is worth something only if every rule of the market is inside what is proved. Each of these programs is a
venue that cheats in one place; none of them may reach the public values of the published program. The core has a short
way for plain orders beside the one with all the rules, so some rules are to be broken in two places.
"""

from __future__ import annotations

from dataclasses import dataclass

BOOK, MONEY, LADDER, ACCOUNT, CORE, INSTRUMENT = "book.c", "money.h", "ladder.h", "account.c", "core.c", "instrument.c"


@dataclass(frozen=True)
class Mutant:
    """In cores/`file` each old text becomes the new one."""

    rule: str
    file: str
    changes: tuple[tuple[str, str], ...]


def mutant(rule: str, file: str, *changes: tuple[str, str]) -> Mutant:
    return Mutant(rule, file, changes)


MUTANTS = [
    mutant(
        "trades at the limit price",
        BOOK,
        ("s->best[other] <= a->key_max", "s->best[other] < a->key_max"),
    ),
    mutant(
        "trades at the resting order's price",
        BOOK,
        ("maker->owner, maker->id, maker->price, lots,", "maker->owner, maker->id, maker->price + 1, lots,"),
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
        BOOK,
        ("*taker_fee = fee_of(notional, a->account->taker_bp)", "*taker_fee = fee_of(notional, a->account->maker_bp)"),
    ),
    mutant(
        "the resting order pays the maker's fee",
        BOOK,
        ("*maker_fee = fee_of(notional, resting->maker_bp)", "*maker_fee = fee_of(notional, resting->taker_bp)"),
    ),
    mutant("the venue gets both fees", BOOK, ("fees += maker_fee + taker_fee;", "fees += taker_fee;")),
    mutant(
        "a buyer pays", BOOK, ("taker_quote->balance -= notional + *taker_fee;", "taker_quote->balance -= *taker_fee;")
    ),
    mutant("a fill gives its hold back", BOOK, ("maker_base->hold -= base_units;", "")),
    mutant("an open order holds", BOOK, ("p->hold += hold;", "")),
    mutant("IOC does not rest", BOOK, ("(market || command_tif(c) >= TIF_IOC)", "market")),
    mutant("FOK is all or nothing", BOOK, ("if (lots >= need)", "if (lots > 0)")),
    mutant("MinQty counts", BOOK, ("fok ? c->qty_lots : c->aux", "fok ? c->qty_lots : 0")),
    mutant("post-only does not take", BOOK, ("if (post_only &&", "if (0 * post_only &&")),
    mutant(
        "the collar's low end",
        BOOK,
        ("!market && (c->price_ticks < s->min_ticks", "!market && (c->price_ticks <= s->min_ticks"),
        ("|| other_key > window)", "|| other_key - 1 >= window)"),
    ),
    mutant(
        "the collar's high end",
        BOOK,
        ("|| c->price_ticks > s->max_ticks))", "|| c->price_ticks >= s->max_ticks))"),
        ("|| other_key > window)", "|| other_key >= window)"),
    ),
    mutant(
        "no order without funds",
        BOOK,
        ("if (hold_of(s, side, price, lots, account->taker_bp) >", "if (0 >"),
    ),
    mutant("a market buy pays as it goes", BOOK, ("if (a->pays_as_goes && !can_pay(", "if (0 && !can_pay(")),
    mutant(
        "frozen accounts do not trade",
        BOOK,
        ("if (account->flags & FLAG_ACCOUNT_FROZEN)", "if (0)"),
        ("|| account->flags != 0 ||", "||"),
    ),
    mutant(
        "only own orders are cancelled",
        BOOK,
        (" || owner_account(order->owner) != owner_account(c->owner)", ""),
    ),
    mutant("less quantity keeps the place", BOOK, ("leaves <= order->leaves ?", "leaves < order->leaves - 1 ?")),
    mutant("more quantity loses the place", BOOK, ("leaves <= order->leaves ?", "leaves <= order->leaves + 9 ?")),
    mutant(
        "no REPLACE below the filled part",
        BOOK,
        ("if (c->qty_lots <= order->cum)", "if (c->qty_lots < order->cum)"),
    ),
    mutant("mass cancel by session", BOOK, ("command_flags(c) ? OWNER_ORDER_MASK : 0xffffffff", "0xffffffff")),
    mutant("Day orders expire", BOOK, ("!= TIF_DAY)", "== TIF_DAY)")),
    mutant(
        "zero quantity is refused",
        BOOK,
        ("return lots != 0 && lots >> 40 == 0;", "return lots >> 40 == 0;"),
    ),
    mutant("an unknown side is refused", BOOK, ("if (command_side(c) - 1 > 1)", "if (command_side(c) - 1 > 2)")),
    mutant("prechecked commands do nothing", CORE, ("    if (precheck != 0)", "    if (0)")),
    mutant("a deposit counts once", ACCOUNT, ("p->balance += amount;", "p->balance += 2 * amount;")),
    mutant(
        "no withdrawal beyond the balance",
        ACCOUNT,
        ("if ((int64_t)p->balance < (int64_t)amount || amount > available_of(p) || amount > supply[0])", "if (0)"),
    ),
    mutant("fees stay under open orders", ACCOUNT, ("&& has_hold(core, account))", "&& 0)")),
    mutant("terms stay under open orders", INSTRUMENT, ("if (s->order_count != 0)", "if (0)")),
    mutant("the lowest free slot", BOOK, ("if (slot < s->slot_first)", "if (slot < s->slot_first && slot > 3)")),
]
