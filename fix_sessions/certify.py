"""`venue certify`: plays the certification cases against a live venue, or watches a broker's session, and reports.

Exit code 0: nothing failed. 1: a case failed. 2: wrong use. It leaves no order in the book and no limit changed; it
resets the session's sequence numbers, so it is for sessions that are being certified, not for ones that trade.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from decimal import Decimal

from cores import Limit, Phase
from fix_sessions.certification import (
    FAILED,
    PASSED,
    SKIPPED,
    Agreed,
    Case,
    Door,
    Party,
    Protection,
    Result,
    Stage,
    Terms,
    play,
)
from fix_sessions.certification_cases import chosen
from fix_sessions.certification_report import Report, said
from fix_sessions.certification_watch import watch
from fix_sessions.schedule import Schedule
from venue.config import Config, ConfigError, Member, Session, load
from venue.control import ControlClient, ControlError

PASSWORD_VARIABLE = "VENUE_PASSWORD"
MARKS = {PASSED: "ok  ", FAILED: "FAIL", SKIPPED: "-   "}


@dataclass
class ControlOperator:
    """The operator's part, through the control socket of a venue on this machine."""

    config: Config

    def phase(self, symbol: str, phase: str) -> None:
        number = next(i.id for i in self.config.instruments if i.symbol == symbol)
        with ControlClient(self.config.control_path) as client:
            client.phase(number, Phase[phase], ref="certification")

    def throttle(self, session: str, messages_per_second: int) -> None:
        account = min(self._member(session).accounts)
        with ControlClient(self.config.control_path) as client:
            client.set_limit(Limit.MESSAGES, messages_per_second, account=account, ref="certification")

    def kill(self, session: str, on: bool) -> None:
        from venue.control_market import Market

        with ControlClient(self.config.control_path) as client:
            market = Market(self.config, client, approver="certification", reason="certification")
            if on:
                market.kill("session", session)
            else:
                market.rearm("session", session)

    def news(self, session: str, text: str) -> None:
        self._operate("news", session, text)

    def log_out(self, session: str, reason: str) -> None:
        self._operate("log_out", session, reason)

    def reset(self, session: str, reason: str) -> None:
        self._operate("reset_session", session, reason)

    def _operate(self, verb: str, session: str, text: str) -> None:
        with ControlClient(self.config.control_path) as client:
            client.operate(verb, session=session, text=text)

    def _member(self, comp_id: str) -> Member:
        return next(member for member, session in self.config.sessions() if session.comp_id == comp_id)


def run(arguments: argparse.Namespace) -> int:
    """The verb. Raises ConfigError for wrong use."""
    config = load(arguments.config) if arguments.config else None
    try:
        cases = chosen(arguments.areas, arguments.case or [])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    report = (_watched if arguments.watch else _played)(arguments, config, cases)
    page, facts = report.write(arguments.output)
    for area, counts in report.areas().items():
        print(f"{area:14} {said(counts)}")
    print(f"{said(report.counts())}; report: {page} and {facts.name}")
    return 0 if report.passed else 1


def _watched(arguments: argparse.Namespace, config: Config | None, cases: tuple[Case, ...]) -> Report:
    if config is None:
        raise ConfigError("--watch reads the venue's own files: give --config")
    comp_id = arguments.session.partition(":")[0]
    number = next((s.id for m, s in config.sessions() if s.comp_id == comp_id and m.id == arguments.member), None)
    if number is None:
        raise ConfigError(f"member {arguments.member!r} has no session {comp_id!r}")
    path = config.venue.data_dir / "fix" / f"session-{number}.store"
    try:
        results = watch(path, cases)
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    for result in results:
        _show(result)
    return Report(arguments.member, comp_id, str(path), "watched", results)


def _played(arguments: argparse.Namespace, config: Config | None, cases: tuple[Case, ...]) -> Report:
    stage = stage_of(arguments, config)
    results = []
    try:
        for case in cases:
            results.append(play(case, stage))
            _show(results[-1])
    finally:
        stage.close()
    return Report(arguments.member, stage.party.comp_id, arguments.target, "played against", results)


def _show(result: Result) -> None:
    text = "" if result.verdict == PASSED else f": {result.text}"
    print(f"{MARKS[result.verdict]} {result.case.name} {result.case.title}{text}", flush=True)


def stage_of(arguments: argparse.Namespace, config: Config | None) -> Stage:
    """Where it is played, from the command line and, where it is given, the venue's configuration."""
    if not arguments.target:
        raise ConfigError("--target HOST:PORT is missing (or --watch)")
    address = address_of("--target", arguments.target)
    party = party_of(arguments.session)
    other = party_of(arguments.counterpart) if arguments.counterpart else None
    venue, cancels = arguments.venue, not arguments.no_cancel_on_disconnect
    operator, agreed = None, Agreed()
    if config is not None:
        venue = config.venue.name
        member, session = next(((m, s) for m, s in config.sessions() if s.comp_id == party.comp_id), (None, None))
        if member is None or session is None or member.id != arguments.member:
            raise ConfigError(f"member {arguments.member!r} has no session {party.comp_id!r}")
        cancels = session.cancel_on_disconnect
        operator, agreed = _operator(config), agreed_with(config, member, session)
    terms = terms_of(arguments, config)
    market_data = door_of("--market-data", arguments.market_data, arguments.market_data_session)
    drop_copy = door_of("--drop-copy", arguments.drop_copy, arguments.drop_copy_session)
    return Stage(address, venue, party, terms, other, operator, cancels, market_data, drop_copy, agreed)


def agreed_with(config: Config, member: Member, session: Session) -> Agreed:
    """What the configuration says of the session under test."""
    limits = [limit for limit in (member.mmp.quantity, member.mmp.delta) if limit]
    protection = Protection(min(limits, default=Decimal(0)), member.mmp.trades) if member.mmp.window_ms else None
    return Agreed(member.id, protection, session.messages_per_second, Schedule(config.schedule))


def address_of(option: str, text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"{option} must be HOST:PORT, is {text!r}")
    return host, int(port)


def door_of(option: str, address: str | None, session: str | None) -> Door | None:
    """A further gateway and our session there; both are given, or neither."""
    if not address and not session:
        return None
    if not address or not session:
        raise ConfigError(f"{option} HOST:PORT and {option}-session COMPID:USERNAME[:PASSWORD] go together")
    return Door(address_of(option, address), party_of(session))


def _operator(config: Config) -> ControlOperator | None:
    try:
        with ControlClient(config.control_path) as client:
            client.status()
    except (ControlError, OSError):
        return None
    return ControlOperator(config)


def party_of(text: str) -> Party:
    """COMPID:USERNAME:PASSWORD; the password may be left to the environment."""
    comp_id, _, rest = text.partition(":")
    username, _, password = rest.partition(":")
    password = password or os.environ.get(PASSWORD_VARIABLE, "")
    if not comp_id or not username or not password:
        raise ConfigError(f"a session is COMPID:USERNAME:PASSWORD (or its password in {PASSWORD_VARIABLE})")
    return Party(comp_id, username, password)


def terms_of(arguments: argparse.Namespace, config: Config | None) -> Terms:
    """The instrument's terms, from the configuration or the command line."""
    if config is None:
        return Terms(arguments.symbol, *(Decimal(text) for text in (arguments.price, arguments.tick, arguments.lot)))
    instrument = next((i for i in config.instruments if i.symbol == arguments.symbol), None)
    if instrument is None:
        raise ConfigError(f"symbol {arguments.symbol!r} is unknown; this venue has {config.instruments}")
    return Terms(instrument.symbol, Decimal(arguments.price), instrument.tick, instrument.lot)
