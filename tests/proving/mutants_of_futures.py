"""More of the core with one rule on futures broken at a time, each decided by the second scene of futures.

Why: where money, lots and places run out, a rule decides by a single unit; a program that is off by one there cheats.
"""

from __future__ import annotations

from tests.proving.mutants import ACCOUNT, CHANGE, EXPIRY, FUTURE, INSTRUMENT, MATCH, TRIGGER, UNCROSS, mutant

MUTANTS_OF_FUTURES = [
    mutant(
        "a position within its bound",
        FUTURE,
        (
            "others + lots > POSITION_LOTS_MAX || exceeds(lots_of_side(p, side) + others + lots, max)",
            "s->position_max != 0 && exceeds(lots_of_side(p, side) + others + lots, max)",
        ),
    ),
    mutant("open lots within their bits", FUTURE, ("others + lots > POSITION_LOTS_MAX || ", "")),
    mutant(
        "open orders count in a position",
        FUTURE,
        ("exceeds(lots_of_side(p, side) + others + lots, max)", "exceeds(lots_of_side(p, side) + lots, max)"),
    ),
    mutant(
        "a position counts with its orders",
        FUTURE,
        ("exceeds(lots_of_side(p, side) + others + lots, max)", "exceeds(others + lots, max)"),
    ),
    mutant(
        "what is replaced does not count beside itself",
        FUTURE,
        ("u64 others = open_of_side(p, side) - all, max", "u64 others = open_of_side(p, side), max"),
    ),
    mutant(
        "a replaced order gives its hold back", FUTURE, ("order_needs(s, order, all, account->taker_bp) : 0;", "0 : 0;")
    ),
    mutant("no order in a future beyond the gross limit", FUTURE, ("if (cash->gross_max != 0 &&", "if (0 &&")),
    mutant("what closes at the market needs no funds", FUTURE, ("    if (opens == 0)\n        return 1;\n", "")),
    mutant(
        "only what opens needs margin",
        FUTURE,
        ("fee + fee_of(notional_of(s, price, opens)", "fee + fee_of(notional_of(s, price, lots)"),
    ),
    mutant(
        "an order holds its fee in a future", FUTURE, ("return fee_of(value, taker_bp) + margin;", "return margin;")
    ),
    mutant(
        "what is left rests only with its margin",
        TRIGGER,
        ("if (s->is_future && !order_is_funded(s, account, order)) /*", "if (0) /*"),
    ),
    mutant(
        "market-to-limit becomes priced only with its margin",
        EXPIRY,
        ("(s->is_future && !order_is_funded(s, account, order)) ||", ""),
    ),
    mutant(
        "any stop in a call of a future needs funds",
        TRIGGER,
        ("(is_stop_order || s->is_future) &&", "is_stop_order &&"),
    ),
    mutant("closing in full ends the call", FUTURE, ("    if (lots == held)\n        stage_set(p, STAGE_NONE);\n", "")),
    mutant("a liquidation trades with anybody", FUTURE, ("    a.group = GROUP_NONE;\n", "")),
    mutant(
        "a mark is in the window",
        FUTURE,
        ("    if (!price_is_valid(s, c->price_ticks))\n        return REJECT_PRICE_OUT_OF_COLLAR;\n", ""),
    ),
    mutant(
        "what is needed goes by the maintenance margin",
        FUTURE,
        (
            "margin->needed = fee_of(magnitude(value), s->maintenance_bp);",
            "margin->needed = fee_of(magnitude(value), s->initial_bp);",
        ),
    ),
    mutant(
        "the top-up goes to the initial margin",
        FUTURE,
        (
            "smaller_of(free_of(cash), margin->initial - margin->equity)",
            "smaller_of(free_of(cash), margin->needed - margin->equity)",
        ),
    ),
    mutant("other terms forget the mark", INSTRUMENT, ("    s->mark_ticks = 0;\n    s->bound", "    s->bound")),
    mutant(
        "a replaced order closes anew",
        CHANGE,
        ("    order->facts = (order->facts & ~((u64)FACT_CLOSING << 32)) | change->closing << 32;\n", ""),
    ),
    mutant(
        "fees stay under orders in a future that hold nothing", ACCOUNT, ("? p->open << (64 - STAGE_SHIFT) :", "? 0 :")
    ),
    mutant("a call does not hold the fees", ACCOUNT, ("? p->open << (64 - STAGE_SHIFT) :", "? p->open :")),
    mutant(
        "each lot closes once",
        FUTURE,
        ("return (int64_t)held <= 0 ? 0 : smaller_of(held, lots);", "return (int64_t)held <= 0 ? 0 : lots;"),
    ),
    mutant(
        "a short position gains from what falls",
        FUTURE,
        ("u64 result = is_long ? value - cost : cost - value;", "u64 result = value - cost;"),
    ),
    mutant(
        "a taken position goes at the mark",
        FUTURE,
        (
            "side = (int64_t)p->lots > 0 ? ASK : BID, price = s->mark_ticks;",
            "side = (int64_t)p->lots > 0 ? ASK : BID, price = s->last_ticks;",
        ),
    ),
    mutant(
        "the venue is no member of the ladder",
        FUTURE,
        ("if (account->number == 0 || p->lots == 0)", "if (p->lots == 0)"),
    ),
    mutant(
        "a flat position is not margined",
        FUTURE,
        ("if (account->number == 0 || p->lots == 0)", "if (account->number == 0)"),
    ),
    mutant("no margin without a mark", FUTURE, ("    if (s->mark_ticks == 0)\n        return REJECT_NO_MARK;\n", "")),
    mutant(
        "what is kept is not called",
        FUTURE,
        ("        if (stage == STAGE_NONE)\n            return REJECT_MARGIN_KEPT;\n", ""),
    ),
    mutant(
        "the venue has no deficit",
        FUTURE,
        ("u64 lacking = account->number == 0 ? 0 : cover(p, cash);", "u64 lacking = cover(p, cash);"),
    ),
    mutant(
        "collateral that goes back is no more than its share",
        FUTURE,
        ("back = share_of(p->collateral, lots, held)", "back = p->collateral"),
    ),
    mutant("a fill of a future pays the maker's fee", MATCH, ("resting->maker_bp", "resting->taker_bp")),
    mutant(
        "orders of others stay in a liquidation", FUTURE, ("c->owner, 0xffffffff, SIDE_NONE", "c->owner, 0, SIDE_NONE")
    ),
    mutant(
        "the uncross releases holds of a future",
        UNCROSS,
        ("        order_hold(s, accounts[side], order, leaves[side] + lots, leaves[side]);\n", ""),
    ),
    mutant("positions of an uncross pay fees", UNCROSS, ("side, price, lots, fee, out)", "side, price, lots, 0, out)")),
]
