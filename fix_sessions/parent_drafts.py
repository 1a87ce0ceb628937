"""How a member asks for an execution algorithm: a NewOrderSingle (D) with TargetStrategy(847), read and checked.

What comes out is either a refusal with words or everything that the journal says of the parent: start, end, slices,
rate, profile. A replace (G) is read as the D that it makes of the parent: what a D may not say, it may not either.
Must never look at a clock or a market of its own: the same message at the same time is read the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cores import Reason
from cores.records import SYMBOL_NONE
from fix_sessions import messages
from fix_sessions.codec import Request, Terms, named_reason
from fix_sessions.parent_orders import REPLACEABLE, STRATEGIES, VWAP, Parent, changed_body, template_body
from venue.algorithms import BASIS_POINTS, FLAT, NS
from venue.config import Config

NOT_TOGETHER = (18, 99, 110, 111, 211, 432, 9479)
FIXED = (1, 40, 54, 55, 59, 847, 2362, 2964, *NOT_TOGETHER)
DEFAULTS = {59: b"0"}
CHANGES = "OrderQty(38), Price(44), EffectiveTime(168), ExpireTime(126), 848 and 849 are; cancel it and send another"
SLICE = b"SliceSeconds="
BODY_BYTES_MAX = 3_000  # of a parent's D: what is added to it, and to its children's, must fit an annex


class Refused(ValueError):
    """A parent that is not taken: OrdRejReason(103), CxlRejReason(102) and Text(58)."""

    def __init__(self, code: int, text: str | bytes, cancel_code: int = 99) -> None:
        super().__init__(text)
        self.code, self.cancel_code = code, cancel_code
        self.text = text.encode() if isinstance(text, str) else text


class Draft:
    """A D that asks for an algorithm, as it is read; `refusal` is why it is not taken."""

    def __init__(
        self, config: Config, terms: Terms, session: int, body: bytes, now_ns: int, find_order: Callable[..., Any]
    ) -> None:
        self.config, self.terms, self.now_ns, self.body = config, terms, now_ns, body
        self.values = messages.first_fields(body)
        self.request = Request.read(terms, session, template_body(body), False, find_order)
        self.words: dict[str, int | bytes] = {}
        self.refusal: Refused | None = None
        try:
            self._read()
        except Refused as refused:
            self.refusal = refused

    @property
    def symbol(self) -> int:
        return SYMBOL_NONE if self.request.book is None else self.request.book.number

    def refuse_reason(self, reason: int) -> Refused:
        """A refusal with the code and the words that any order gets for this reason."""
        words = self.terms.text(self.symbol, reason)
        return Refused(self.terms.order_codes[reason], words, self.terms.cancel_codes[reason])

    def _read(self) -> None:
        values, table = self.values, self.config.algorithms
        if table.parents_max == 0:
            raise Refused(0, "execution algorithms, TargetStrategy(847), are not served here")
        if values.get(847) not in STRATEGIES:
            raise Refused(11, "TargetStrategy(847) must be 1 (VWAP) or 1000 (TWAP); 168, 848 and 849 go with it only")
        if any(tag in values for tag in NOT_TOGETHER):
            raise Refused(
                11, "with TargetStrategy(847) go no ExecInst(18), 99, 110, 111, 211, 432 and 9479; leave them out"
            )
        if values[40] not in (b"1", b"2") or values.get(59, b"0") not in (b"0", b"6"):
            raise Refused(11, "with TargetStrategy(847) OrdType(40) is 1 or 2, and TimeInForce(59) 0 or 6")
        if self.request.reason:
            raise self.refuse_reason(named_reason(self.request.reason, self.request.side, self.request.ord_type))
        if len(self.body) > BODY_BYTES_MAX:
            raise Refused(99, f"the message's body is longer than {BODY_BYTES_MAX} bytes, the most of a parent order")
        self._read_amounts()
        self._read_interval()
        self._read_rate()

    def _read_amounts(self) -> None:
        request = self.request
        if request.qty_lots == 0:
            raise self.refuse_reason(Reason.REJECT_BAD_QTY)
        instrument = self.config.instruments[request.symbol]
        if self.values[40] == b"2" and not instrument.min_ticks <= request.price_ticks <= instrument.max_ticks:
            raise self.refuse_reason(Reason.REJECT_PRICE_OUT_OF_COLLAR)
        self.words["qty_lots"] = request.qty_lots

    def _read_interval(self) -> None:
        table, values = self.config.algorithms, self.values
        times = {tag: messages.time(values[tag]) for tag in (126, 168) if tag in values}
        end_ns, asked_ns = times.get(126), times.get(168, 0)
        if end_ns is None or asked_ns is None:
            raise Refused(
                11,
                "ExpireTime(126), the end, and EffectiveTime(168), the start, must be UTC times; 168 may be left out",
            )
        if end_ns <= max(self.now_ns, asked_ns):
            raise Refused(99, "ExpireTime(126) must be later than now and than EffectiveTime(168)")
        start_ns = self._start_ns(asked_ns, end_ns)
        if end_ns - self._entered_ns() > table.duration_seconds_max * NS:
            raise Refused(
                99, f"ExpireTime(126) is more than {table.duration_seconds_max} seconds away; send a shorter one"
            )
        slice_ns = self._slice_seconds() * NS
        slices = max(1, (end_ns - start_ns + slice_ns // 2) // slice_ns)  # the nearest: a D is some time on its way
        self.words |= {"start_ns": start_ns, "end_ns": end_ns, "slices": slices}
        self.words["entered_ns"] = self._entered_ns()
        self.words["profile"] = ",".join(str(weight) for weight in self._profile()).encode()

    def _start_ns(self, asked_ns: int, end_ns: int) -> int:
        """When the first slice begins; it is before the end."""
        return max(self.now_ns, asked_ns)

    def _entered_ns(self) -> int:
        """From when on a parent may last so long: a start of the venue reads no more of the journal."""
        return self.now_ns

    def _profile(self) -> tuple[int, ...]:
        own = self.config.instruments[self.request.symbol].volume_profile
        return own if self.values[847] == VWAP and own else FLAT

    def _slice_seconds(self) -> int:
        table, text = self.config.algorithms, self.values.get(848)
        if text is None:
            return table.slice_seconds
        number = text.removeprefix(SLICE)
        good = text.startswith(SLICE) and number.isdigit() and len(number) <= 6
        if not good or int(number) < table.slice_seconds_min:
            least = table.slice_seconds_min
            raise Refused(
                11, f"TargetStrategyParameters(848) must be SliceSeconds=n with a whole n of at least {least}"
            )
        return int(number)

    def _read_rate(self) -> None:
        text, rate_bp = self.values.get(849), BASIS_POINTS
        if text is not None:
            try:
                rate_bp = messages.count(text, 4, 1, BASIS_POINTS)
            except (messages.Malformed, messages.Inexact, messages.Overflow):
                rate_bp = 0
            if rate_bp == 0:
                raise Refused(
                    11, "ParticipationRate(849) must be above 0 and at most 1 (0.1 is ten per cent), of four decimals"
                )
        self.words["rate_bp"] = rate_bp


class Replacement(Draft):
    """A G of a parent that is at work, read as the D that it makes of it. The schedule is cut anew for what is left:
    what the slice that has begun was to do, it does, so the new one begins with the next.
    """

    def __init__(
        self, config: Config, terms: Terms, parent: Parent, body: bytes, now_ns: int, find_order: Callable[..., Any]
    ) -> None:
        self.parent, self.asked, self.asked_bytes = parent, messages.first_fields(body), len(body)
        changed = {tag: self.asked[tag] for tag in REPLACEABLE if tag in self.asked}
        self.changed = {**parent.version.changed, **changed}
        in_force = changed_body(parent.entry.message, self.changed)
        super().__init__(config, terms, parent.session, in_force, now_ns, find_order)

    def _read(self) -> None:
        parent = self.parent
        for tag in FIXED:
            own = b"%d" % parent.template.account if tag == 1 else parent.values.get(tag, DEFAULTS.get(tag))
            if tag in self.asked and self.asked[tag] != own:
                raise Refused(99, f"tag {tag} of a parent order is not replaced; {CHANGES}")
        if self.asked_bytes > BODY_BYTES_MAX:
            raise Refused(99, f"the message's body is longer than {BODY_BYTES_MAX} bytes, the most of a parent order")
        super()._read()
        self.words |= {"parent": parent.seq, "base_lots": parent.cum_lots}
        self.words |= {"cum_lots": parent.cum_lots, "value": parent.value, **parent.busted_words}
        self.words |= {f"t{tag}": value for tag, value in self.changed.items()}

    def _read_amounts(self) -> None:
        super()._read_amounts()
        if self.request.qty_lots <= self.parent.cum_lots:
            raise self.refuse_reason(Reason.REJECT_QTY_BELOW_FILLED)

    def _start_ns(self, asked_ns: int, end_ns: int) -> int:
        schedule, start_ns = self.parent.schedule, max(self.now_ns, asked_ns)
        begun = self.now_ns >= schedule.start_ns
        earliest_ns = schedule.next_ns(self.now_ns) if begun else self.parent.version.earliest_ns
        self.words["earliest_ns"] = earliest_ns
        return max(start_ns, earliest_ns) if earliest_ns < end_ns else start_ns

    def _entered_ns(self) -> int:
        return self.parent.entered_ns

    def _profile(self) -> tuple[int, ...]:
        return self.parent.schedule.profile
