"""All certification cases, in areas: a member is certified for what it uses, and an area's name is what it asks for.

The order here is the order of play; the cases' numbers are for ever, so what is new is numbered on.
"""

from __future__ import annotations

from dataclasses import replace

from fix_sessions.certification import Case
from fix_sessions.certification_copies import COPY_CASES
from fix_sessions.certification_lists import LIST_CASES, PARTY_CASES, PEG_CASES
from fix_sessions.certification_market import MARKET_CASES
from fix_sessions.certification_orders import ORDER_CASES
from fix_sessions.certification_policy import HOURS_CASES, POLICY_CASES
from fix_sessions.certification_quotes import QUOTE_CASES
from fix_sessions.certification_sessions import SESSION_CASES
from fix_sessions.certification_statements import POSITION_CASES, STATUS_CASES, TRADE_CASES

AREAS: dict[str, tuple[Case, ...]] = {
    area: tuple(replace(case, area=area) for case in cases)
    for area, cases in (
        ("sessions", SESSION_CASES),
        ("orders", ORDER_CASES),
        ("quotes", QUOTE_CASES),
        ("lists", LIST_CASES),
        ("parties", PARTY_CASES),
        ("pegged", PEG_CASES),
        ("mass_status", STATUS_CASES),
        ("positions", POSITION_CASES),
        ("trade_capture", TRADE_CASES),
        ("market_data", MARKET_CASES),
        ("drop_copy", COPY_CASES),
        ("policy", POLICY_CASES),
        ("hours", HOURS_CASES),
    )
}
CASES = tuple(case for cases in AREAS.values() for case in cases)


def chosen(areas: str, names: list[str]) -> tuple[Case, ...]:
    """The cases of these areas (with commas; empty: all) and, where any are given, of these names.

    Raises ValueError for what is unknown.
    """
    wanted = [area.strip() for area in areas.split(",") if area.strip()]
    unknown = [area for area in wanted if area not in AREAS]
    if unknown:
        raise ValueError(f"no such area: {', '.join(unknown)}; there are {', '.join(AREAS)}")
    found = [case for case in CASES if not wanted or case.area in wanted]
    strangers = sorted(set(names) - {case.name for case in found})
    if strangers:
        where = f" in {', '.join(wanted)}" if wanted else ""
        raise ValueError(f"no such case{where}: {', '.join(strangers)}; there are {found[0].name} to {found[-1].name}")
    return tuple(case for case in found if not names or case.name in names)
