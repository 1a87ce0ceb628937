"""The core with one rule on busted trades broken at a time: what mutants.py does for the rest."""

from __future__ import annotations

from tests.proving.mutants import CORE, mutant

BUST = "bust.c"

MUTANTS_OF_BUSTS = [
    mutant("a trade may be busted", CORE, ("return trade_bust(core, c, out);", "return REJECT_UNSUPPORTED;")),
    mutant("the base goes back", BUST, ("undone->side == BID ? -base : base;", "0;")),
    mutant("the money goes back", BUST, ("undone->fee + (undone->side == BID ? value : -value);", "undone->fee;")),
    mutant("the fee goes back", BUST, ("+= undone->fee + (undone", "+= (undone")),
    mutant(
        "a rebate goes back", BUST, ("return (int64_t)bp < 0 ? -fee_of(value, -bp) :", "return (int64_t)bp < 0 ? 0 :")
    ),
    mutant("the venue gives both fees", BUST, ("->balance -= bought.fee + sold.fee;", "->balance -= bought.fee;")),
    mutant(
        "each side pays its own fee",
        BUST,
        ("sold.fee = fee_paid(value, signed_bp(c->aux >> 32));", "sold.fee = bought.fee;"),
    ),
    mutant("the buyer's session is told", BUST, ("(half & 0xffff) | half >> 16 << 32", "(half & 0xffff)")),
    mutant("a bust tells its trade", BUST, ("undone->owner, c->order_id,", "undone->owner, 0,")),
    mutant("no bust of an unknown symbol", BUST, ("if (command_symbol(c) >= core->symbol_count)", "if (0)")),
    mutant("no bust for an unknown account", BUST, ("if ((half & 0xffff) >= core->account_count)", "if (0)")),
    mutant("no flags on a bust", BUST, ("if (command_flags(c) != 0)", "if (0)")),
    mutant("no bust of nothing", BUST, ("c->order_id >> 24 == 0 || ", "")),
    mutant("no bust of what is to come", BUST, (" || c->order_id >> 24 >= c->seq", "")),
    mutant("a bust within the window", BUST, ("if (!price_is_valid(s, c->price_ticks))", "if (0)")),
    mutant("a bust of some quantity", BUST, ("if (!qty_is_valid(c->qty_lots))", "if (0)")),
    mutant("the buyer's fee is a fee", BUST, ("magnitude(signed_bp(c->aux)) > FEE_BP_MAX || ", "")),
    mutant("the seller's fee is a fee", BUST, (" || magnitude(signed_bp(c->aux >> 32)) > FEE_BP_MAX", "")),
    mutant(
        "a rebate is bounded as a fee is",
        BUST,
        ("(int64_t)signed_word < 0 ? -signed_word", "(int64_t)signed_word < 0 ? 0"),
    ),
    mutant(
        "the buyer has the base still",
        BUST,
        ("return lacks(base, c->qty_lots * s->lot_size) ?", "return 0 ?"),
    ),
    mutant("the seller has the money still", BUST, ("return lacks(cash, value - undone->fee) ?", "return 0 ?")),
    mutant("the fee helps the seller", BUST, ("lacks(cash, value - undone->fee)", "lacks(cash, value)")),
    mutant(
        "what is held is not there",
        BUST,
        ("exceeds(needed, available_of(p))", "exceeds(needed, p->balance + p->credit)"),
    ),
    mutant("the venue has the fees still", BUST, ("return lacks(cash, fees) ?", "return 0 ?")),
    mutant("orders keep the lots that they close", BUST, ("if (closes != 0 && open > held - closes)", "if (0)")),
    mutant(
        "only orders that could close keep lots",
        BUST,
        ("open = open_of_side(p, side);", "open = open_of_side(p, undone->side);"),
    ),
    mutant("a bust keeps to the bound", BUST, ("if (opens != 0 && exceeds(", "if (0 && exceeds(")),
    mutant(
        "the bound counts open orders", BUST, ("c->qty_lots - held + open, s->bound", "c->qty_lots - held, s->bound")
    ),
    mutant("what a bust opens has margin", BUST, ("return lacks(cash, margin - undone->fee) ?", "return 0 ?")),
    mutant("the fee helps the margin", BUST, ("lacks(cash, margin - undone->fee)", "lacks(cash, margin)")),
    mutant("account 0 needs no margin", BUST, ("    if (account->number == 0)\n        return REASON_NONE;\n", "")),
    mutant(
        "a bust is at the price of its trade",
        BUST,
        ("undone->side ^ 1, c->price_ticks,", "undone->side ^ 1, s->mark_ticks,"),
    ),
    mutant("a bust is the other way round", BUST, ("undone->owner, undone->side ^ 1,", "undone->owner, undone->side,")),
    mutant(
        "fees of a future come back",
        BUST,
        ("                            -undone->fee, out);", "                            0, out);"),
    ),
]
