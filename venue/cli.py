"""The `venue` command: every verb, its arguments, and nothing else.

This file and `processes`, `demo`, `operate` are the only places where the FIX sessions, the venue, the provers and the
settlement are composed. Each verb imports what it needs when it runs, so that `venue verify` works on a machine that
has neither QuickFIX nor a chain. A mistake of the user ends with one clear line and exit code 2, never a traceback.
"""

from __future__ import annotations

import argparse
import getpass
import json
import math
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from venue.config import Config, ConfigError, load

EXIT_FAILED = 1
EXIT_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0 done, 1 a check failed, 2 wrong use, 3 a damaged journal."""
    parsed = parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except ConfigError as error:
        return _usage(str(error))
    except EOFError:
        return _usage("no password given: nobody is there to be asked; give --password")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED
    except OSError as error:
        if error.filename is None or hasattr(parsed, "process"):
            raise  # of a supervised process the log has the whole story
        print(f"venue: {error.filename}: {error.strerror}: see that it is there and may be written", file=sys.stderr)
        return EXIT_FAILED


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="venue", description="A FIX 4.4 venue whose every fill can be checked.")
    top.add_argument("--version", action="version", version=f"fix-venue {version('fix-venue')}")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _add_running(verbs)
    _add_archive(verbs)
    _add_operating(verbs)
    return top


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _verb(verbs: Verbs, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(run=run)
    return verb


def _add_running(verbs: Verbs) -> None:
    verb = _verb(verbs, "init", _init, "write a commented configuration into a folder")
    verb.add_argument("folder", type=Path)
    verb = _verb(verbs, "run", _run, "run the venue: engine with FIX sessions, archive, settlement")
    verb.add_argument("--config", type=Path, default=Path("venue.toml"))
    for name in ("engine", "drop_copy", "archive", "market_data", "settlement", "chain"):
        verb = _verb(verbs, name, _process, f"run only the {name} process (venue run starts them all)")
        verb.add_argument("--config", type=Path, default=Path("venue.toml"))
        verb.set_defaults(process=name)
    verb = _verb(verbs, "demo", _demo, "play the main job end to end on embedded defaults")
    verb.add_argument("--orders", type=_positive, default=2_000, help="orders to play (default 2000)")
    verb.add_argument("--seed", type=_whole, default=7, help="seed of the order flow (default 7)")
    verb.add_argument("--prover", choices=("sp1", "replay"), default="sp1", help="replay is re-execution, not a proof")
    verb.add_argument("--keep", type=Path, metavar="DIR", help="keep everything in DIR (must be empty or absent)")
    verb.add_argument("--report", type=Path, metavar="FILE.json", help="write the final table as JSON")
    verb = _verb(
        verbs, "sandbox", _sandbox, "a test venue with a living market and scenarios, for a broker's developers"
    )
    verb.add_argument("--host", default="127.0.0.1")
    verb.add_argument("--port", type=_port, default=5005, help="where brokers connect (default 5005; 0: any)")
    verb.add_argument("--seed", type=_whole, default=7, help="seed of the market (default 7)")
    verb.add_argument("--rate", type=_number, default=2.0, help="background orders a second and instrument (default 2)")
    verb.add_argument("--keep", type=Path, metavar="DIR", help="keep everything in DIR, or go on with what is there")
    _add_certify(verbs)
    _verb(verbs, "hash-password", _hash_password, "read a password and print its argon2 hash")


def _add_certify(verbs: Verbs) -> None:
    verb = _verb(verbs, "certify", _certify, "play the certification cases against a venue, or watch a session")
    verb.add_argument("--target", metavar="HOST:PORT", help="the venue's FIX port")
    verb.add_argument("--member", required=True, help="who is certified, for the report")
    verb.add_argument("--session", required=True, metavar="COMPID:USERNAME[:PASSWORD]", help="the session under test")
    verb.add_argument("--counterpart", metavar="COMPID:USERNAME[:PASSWORD]", help="another member's, for fills")
    verb.add_argument("--venue", default="VENUE", help="the venue's CompID (default VENUE)")
    verb.add_argument("--symbol", default="ACME", help="an instrument in which nobody else trades (default ACME)")
    verb.add_argument("--price", default="100.00", help="its price; orders rest a tenth away from it")
    verb.add_argument("--tick", default="0.01")
    verb.add_argument("--lot", default="1")
    verb.add_argument("--no-cancel-on-disconnect", action="store_true", help="the session keeps its orders")
    verb.add_argument("--config", type=Path, help="the venue's configuration, on its machine: terms, operator's cases")
    for name, what in (("market-data", "market data"), ("drop-copy", "drop-copy")):
        verb.add_argument(f"--{name}", metavar="HOST:PORT", help=f"the venue's {what} port")
        verb.add_argument(f"--{name}-session", metavar="COMPID:USERNAME[:PASSWORD]", help="the member's session there")
    verb.add_argument(
        "--areas", default="", metavar="AREA,...", help="only cases of these, as orders,quotes,market_data"
    )
    verb.add_argument("--case", action="append", metavar="Cnn", help="only this case (may be repeated)")
    verb.add_argument("--watch", action="store_true", help="read what the session itself has shown; needs --config")
    verb.add_argument("--output", type=Path, default=Path("build/certification"), help="folder of the report")


def _add_archive(verbs: Verbs) -> None:
    verb = _verb(verbs, "replay", _replay, "replay a journal: counts and state root")
    verb.add_argument("journal", type=Path, help="the journal folder")
    verb.add_argument("--to", type=_whole, metavar="SEQ", help="stop after this sequence number")
    verb = _verb(verbs, "verify", _verify, "recompute every root of archive files")
    verb.add_argument("files", nargs="+", type=Path)
    verb.add_argument("--replay", action="store_true", help="also replay the commands through the core")
    verb = _verb(verbs, "export", _export, "stream archived events")
    verb.add_argument("--archive", required=True, help="archive folder or pyarrow.fs URI")
    verb.add_argument("--from", dest="start", required=True, metavar="TIME", help="ISO 8601, UTC when no zone is given")
    verb.add_argument("--to", dest="end", required=True, metavar="TIME")
    verb.add_argument("--symbol")
    verb.add_argument("--member")
    verb.add_argument("--format", choices=("arrow", "parquet", "csv"), default="csv")
    verb.add_argument("--output", type=Path, help="file to write (default: standard output)")
    verb = _verb(verbs, "receipt", _receipt, "write the Merkle receipt of an execution as JSON")
    verb.add_argument("exec_id", metavar="EXECID")
    verb.add_argument("--archive", required=True, help="archive folder or pyarrow.fs URI")
    verb.add_argument("--output", type=Path)
    verb = _verb(verbs, "verify-receipt", _verify_receipt, "check a receipt with no other file")
    verb.add_argument("file", type=Path)


def _add_operating(verbs: Verbs) -> None:
    verb = _verb(verbs, "prove", _prove, "prove one batch, verify the proof, have it attested on the chain")
    verb.add_argument("batch", type=_positive_or_zero)
    verb.add_argument("--config", type=Path, default=Path("venue.toml"))
    verb.add_argument("--backend", choices=("replay", "sp1"), default="sp1")
    admin = _verb(verbs, "admin", _admin, "operator verbs, through the engine's control socket")
    admin.add_argument("--config", type=Path, default=Path("venue.toml"))
    actions = admin.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, noun, text in (
        ("deposit", "deposit", "credit an account"),
        ("withdraw", "withdrawal", "take money out of an account"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("--account", type=_positive_or_zero, required=True)
        action.add_argument("--asset", required=True)
        action.add_argument("--amount", required=True, help="decimal")
        action.add_argument(
            "--ref",
            default="",
            help=f"names this {noun} in the journal; the same again is refused, so a retry cannot move the money twice",
        )
        if name == "withdraw":
            action.add_argument("--address", required=True, help="0x and 40 hexadecimal digits")
    _add_market_actions(actions)
    _add_session_actions(actions)
    _add_future_actions(actions)
    action = actions.add_parser("mass-cancel", help="cancel an account's orders")
    action.add_argument("--account", type=_positive_or_zero, required=True)
    action.add_argument("--symbol", help="one instrument (default: all)")
    for name, text in (
        ("status", "the engine's counters and its sessions"),
        ("snapshot", "have a snapshot written now"),
        ("close-day", "Day orders expire in every instrument"),
    ):
        actions.add_parser(name, help=text)
    verb = _verb(verbs, "order", _order, "send one order over FIX and print its reports")
    verb.add_argument("side", choices=("buy", "sell"))
    verb.add_argument("quantity")
    verb.add_argument("symbol")
    verb.add_argument("price", nargs="?", help="limit price (default: a market order)")
    verb.add_argument("--config", type=Path, default=Path("venue.toml"))
    verb.add_argument("--session", required=True, help="SenderCompID")
    verb.add_argument("--password", help="asked for when left out")
    verb.add_argument("--seconds", type=_number, default=2.0, help="how long to wait for reports")


def _add_session_actions(actions: Verbs) -> None:
    """News, locks, and the ends of sessions."""
    action = actions.add_parser("news", help="News(B) to everybody who is logged on")
    action.add_argument("text")
    action.add_argument("--session", help="CompID (default: everybody)")
    action = actions.add_parser("unlock", help="end the lock-outs of a CompID or of an address")
    action.add_argument("name")
    actions.add_parser("locks", help="who is locked out after failed logons")
    actions.add_parser("parents", help="parent orders of execution algorithms that are at work")
    action = actions.add_parser("end-parent", help="end one of them")
    action.add_argument("order_id", type=_whole, help="OrderID(37) of the parent")
    action.add_argument("--reason", required=True, help="told to the member")
    for name, text in (("log-out", "log a session out"), ("reset-session", "its numbers begin at 1 again")):
        action = actions.add_parser(name, help=text)
        action.add_argument("session", help="CompID")
        action.add_argument("--reason", required=True, help="the text of its Logout")


def _add_market_actions(actions: Verbs) -> None:
    """Phases, limits and kill switches."""
    action = actions.add_parser("phase", help="move an instrument into another phase of trading")
    action.add_argument("symbol")
    action.add_argument("phase", choices=("closed", "continuous", "pre-open", "volatility", "close-call", "halt"))
    action.add_argument("--reference", metavar="PRICE", help="a new reference price")
    action.add_argument("--no-uncross", action="store_true", help="from a call to closed, without trading")
    _add_reason(action, required=False)
    limit = actions.add_parser("limit", help="set a limit; 0 means none")
    kinds = limit.add_subparsers(required=True, metavar="KIND", dest="kind")
    for name, target, amount in (
        ("credit", "account", "decimal amount of --asset"),
        ("gross", "account", "decimal amount of --asset that open orders may hold"),
        ("open-orders", "account", "orders"),
        ("messages", "member", "new orders and replaces a second"),
        ("duplicate", "account", "milliseconds in which the same order again is refused"),
        ("restricted", "account", "base assets it may not trade, with commas between; 0 for none"),
        ("order-qty", "symbol", "decimal quantity of one order"),
        ("order-value", "symbol", "decimal amount of one order"),
        ("collar", "symbol", "basis points around the last price"),
        ("margin", "symbol", "initial margin of a future, basis points of the value"),
        ("position", "symbol", "contracts that an account may be long or short in a future"),
    ):
        kind = kinds.add_parser(name, help=f"of {'an' if target == 'account' else 'a'} {target}: {amount}")
        kind.add_argument("target", metavar=target.upper())
        kind.add_argument("amount", help=amount)
        if name in ("credit", "gross"):
            kind.add_argument("--asset", required=True)
        if name == "margin":
            kind.add_argument(
                "--maintenance", dest="maintenance_bp", required=True, help="basis points, at most initial"
            )
        if name == "collar":
            kind.add_argument("--static", dest="static_bp", default="0", help="basis points around the reference price")
        _add_reason(kind, required=True)
    for name, text in (("kill", "stop a party and cancel what it has open"), ("rearm", "let it trade again")):
        action = actions.add_parser(name, help=text)
        action.add_argument("what", choices=("session", "member", "account", "instrument"))
        action.add_argument("name", help="CompID, member, account number or symbol")
        _add_reason(action, required=name == "rearm")
    action = actions.add_parser("bust", help="take back a trade, both sides of it")
    action.add_argument("trade", help="ExecID(17) of either side's fill, seq-index")
    _add_reason(action, required=True)


def _add_future_actions(actions: Verbs) -> None:
    """Marks, margin and settlement of futures."""
    action = actions.add_parser("mark", help="set the mark price of a future")
    action.add_argument("symbol")
    action.add_argument("price")
    _add_reason(action, required=False)
    action = actions.add_parser("margin", help="one step of the margin ladder for one position")
    action.add_argument("account")
    action.add_argument("symbol")
    _add_reason(action, required=False)
    action = actions.add_parser("settle", help="cash settlement of all positions in a closed future")
    action.add_argument("symbol")
    action.add_argument("price", nargs="?", help="the settlement price (default: the mark price)")
    _add_reason(action, required=True)


def _port(text: str) -> int:
    value = _whole(text)
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, is {value}")
    return value


def _add_reason(action: argparse.ArgumentParser, *, required: bool) -> None:
    action.add_argument("--approver", default="", required=required, help="who approved it, for the annex")
    action.add_argument("--reason", default="", required=required, help="why, for the annex")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, is {text!r}") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, is {text!r}")
    return value


def _positive(text: str) -> int:
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, is {value}")
    return value


def _positive_or_zero(text: str) -> int:
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, is {value}")
    return value


def _usage(text: str) -> int:
    print(f"venue: {text}", file=sys.stderr)
    return EXIT_USAGE


def _init(arguments: argparse.Namespace) -> int:
    from venue import sample

    try:
        passwords = sample.write(arguments.folder)
    except OSError as error:
        return _usage(str(error))
    print(f"{arguments.folder / 'venue.toml'} written. Passwords (kept nowhere else):")
    for member, password in passwords.items():
        print(f"  {member:<8} {password}")
    print(f"Start it with: venue run --config {arguments.folder / 'venue.toml'}")
    return 0


def _make_folder(config: Config) -> None:
    """Makes the data folder, and sees that this user can write into it. Raises ConfigError."""
    mend = "give this user the right to write there, or choose another venue.data_dir"
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{config.data_dir}: cannot be made: {error.strerror}: {mend}") from error
    if not os.access(config.data_dir, os.W_OK | os.X_OK):
        raise ConfigError(f"{config.data_dir}: cannot be written: {mend}")


def _run(arguments: argparse.Namespace) -> int:
    from venue.log import configure
    from venue.supervisor import Supervisor

    config = load(arguments.config)
    _make_folder(config)
    configure("supervisor")
    return Supervisor(config).run()


def _process(arguments: argparse.Namespace) -> int:
    from venue import processes
    from venue.log import configure

    config = load(arguments.config)
    _make_folder(config)
    configure(arguments.process)
    bodies: dict[str, Callable[[Config], int]] = {
        "engine": processes.engine,
        "drop_copy": processes.drop_copy,
        "archive": processes.archive,
        "market_data": processes.market_data,
        "settlement": processes.settlement,
        "chain": processes.chain,
    }
    return bodies[arguments.process](config)


def _demo(arguments: argparse.Namespace) -> int:
    from venue import demo

    return demo.run(arguments.orders, arguments.seed, arguments.prover, arguments.keep, arguments.report)


def _hash_password(arguments: argparse.Namespace) -> int:
    from argon2 import PasswordHasher

    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not password:
        return _usage("no password given")
    print(PasswordHasher().hash(password))
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from venue import replay

    return replay.run(arguments.journal, arguments.to)


def _sandbox(arguments: argparse.Namespace) -> int:
    from fix_sessions import sandbox

    if not 0 < arguments.rate <= 1_000:
        return _usage(f"--rate must be above 0 and at most 1000, is {arguments.rate}")
    return sandbox.run(
        host=arguments.host, port=arguments.port, seed=arguments.seed, rate=arguments.rate, keep=arguments.keep
    )


def _certify(arguments: argparse.Namespace) -> int:
    from fix_sessions import certify

    return certify.run(arguments)


def _verify(arguments: argparse.Namespace) -> int:
    from venue import verify

    return verify.run(arguments.files, replay=arguments.replay, execute=_execute() if arguments.replay else None)


def _execute() -> Callable[[bytes], bytes]:
    """The proved program run natively: replays a batch from its own input when those before it are not given."""
    from proving.replay import run_guest

    return run_guest


def _export(arguments: argparse.Namespace) -> int:
    from venue import export

    return export.run(
        arguments.archive,
        arguments.start,
        arguments.end,
        symbol=arguments.symbol,
        member=arguments.member,
        format=arguments.format,
        output=arguments.output,
    )


def _receipt(arguments: argparse.Namespace) -> int:
    from venue import receipt

    return receipt.run_make(arguments.archive, arguments.exec_id, arguments.output)


def _verify_receipt(arguments: argparse.Namespace) -> int:
    from venue import receipt

    return receipt.run_verify(arguments.file)


def _prove(arguments: argparse.Namespace) -> int:
    from venue import processes

    return processes.prove(load(arguments.config), arguments.batch, arguments.backend)


def _admin(arguments: argparse.Namespace) -> int:
    from venue import operate

    answer = operate.admin(load(arguments.config), arguments)
    print(json.dumps(answer, indent=2, default=str))
    return 0 if answer.get("ok", True) else EXIT_FAILED


def _order(arguments: argparse.Namespace) -> int:
    from venue import operate

    if arguments.password is None:
        arguments.password = getpass.getpass("Password: ")
    return operate.order(load(arguments.config), arguments)
