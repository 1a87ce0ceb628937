"""The bodies of the venue's processes: where sessions, engine, archive, provers and settlement are put together.

Each function runs until SIGTERM or SIGINT and returns the process's exit code. Nothing is decided here: the parts know
their work, this file knows who needs whom.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cores import CoreConfig
from venue.batches import BatchRecord
from venue.config import Config
from venue.log import event
from venue.metrics import Sample, serve

log = logging.getLogger("process")

PORT_ARCHIVE = 1
PORT_SETTLEMENT = 2
PORT_MARKET_DATA = 3
PORT_DROP_COPY = 4
PROGRAM = "execution"
ATTEST_SECONDS_MAX = 120.0
EMBEDDED_CHAIN = "eth-tester://"


def stop_event() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def metrics(config: Config, offset: int, read: Callable[[], Iterable[Sample]]) -> None:
    """Serves /metrics for the life of the process, when a port is configured. One that is taken is an alarm; the
    process goes on without."""
    if not config.metrics.port:
        return
    place = f"{config.metrics.host}:{config.metrics.port + offset}"
    try:
        endpoint = serve(config.metrics.host, config.metrics.port + offset, read)
    except OSError as error:
        reason = f"metrics: cannot listen at {place}: {error.strerror}; choose another metrics.port"
        event(log, "metrics not served", logging.ERROR, alarm="metrics", reason=reason)
        return
    event(log, "metrics served", port=endpoint.port)


def core_config(config: Config) -> CoreConfig:
    """The core's sizes."""
    limits = config.limits
    return CoreConfig(limits.symbols, limits.accounts, limits.assets, limits.orders, limits.levels)


def engine(config: Config) -> int:
    """The writer with its FIX sessions and its control socket."""
    from venue.engine import EXIT_JOURNAL_FAILED, Engine, JournalError, exit_code

    stop = stop_event()
    failure: list[str] = []

    def on_fatal(reason: str) -> None:
        failure.append(reason)
        stop.set()

    config.data_dir.mkdir(parents=True, exist_ok=True)
    journal = config.journal
    try:
        writer = Engine.open(
            config.data_dir,
            core_config(config),
            sync=journal.sync,
            interval_ms=journal.interval_ms,
            segment_bytes=journal.segment_bytes,
            snapshot_commands=journal.snapshot_commands,
            on_fatal=on_fatal,
        )
    except JournalError as error:
        event(log, "engine cannot start", logging.CRITICAL, alarm="journal", reason=str(error))
        print(f"venue: {error}", file=sys.stderr)
        return exit_code(error)
    with writer:
        started = _serve(config, writer, stop, failure)
    return EXIT_JOURNAL_FAILED if failure else int(not started)


def _serve(config: Config, writer: Any, stop: threading.Event, failure: list[str]) -> bool:
    """Lets brokers and operators in until `stop`, then shows them out. False: nobody could be let in."""
    from fix_sessions.acceptor import Acceptor
    from venue import opening
    from venue.clock import Clock
    from venue.control import ControlServer
    from venue.margin import MarginService

    acceptor = Acceptor(config, writer, config.data_dir / "fix", application=config.fix.application)
    changed = opening.apply(writer, config)
    event(log, "configuration applied", commands=changed)
    metrics(config, 0, lambda: _engine_samples(config, writer, acceptor))
    try:
        acceptor.start()
    except (OSError, RuntimeError) as error:
        event(log, "fix cannot start", logging.CRITICAL, alarm="fix", reason=str(error))
        mend = "end what else listens there, or choose another fix.host and fix.port" if "listen" in str(error) else ""
        print(f"venue: {error}{': ' * bool(mend)}{mend}", file=sys.stderr)
        acceptor.stop()
        return False
    clock, margin = Clock(writer, config), MarginService(writer, config)
    clock.start()
    margin.start()
    with ControlServer(
        writer,
        config.control_path,
        on_stop=stop.set,
        status=lambda: {"sessions": acceptor.sessions()},
        operate=acceptor.operate,
    ):
        event(log, "venue open", host=config.fix.host, port=config.fix.port, application=config.fix.application)
        stop.wait()
        margin.stop()
        clock.stop()
        acceptor.stop(f"the journal failed: {failure[0]}" if failure else "the venue is closing")
    event(log, "venue closed", reason=failure[0] if failure else "asked to")
    return True


def _engine_samples(config: Config, writer: Any, acceptor: Any) -> Iterable[Sample]:
    """What /metrics of the engine shows."""
    counters = writer.counters()
    yield Sample("venue_journal_records_total", counters["journal_records"])
    yield Sample("venue_journal_bytes_total", counters["journal_bytes"])
    yield Sample("venue_journal_syncs_total", counters["journal_syncs"])
    buckets, total = [], 0
    for bound, count in counters["journal_sync_buckets"]:
        total += count
        buckets.append(("+Inf" if bound == float("inf") else f"{bound:g}", float(total)))
    yield Sample("venue_journal_sync_seconds", counters["journal_sync_seconds"], (), tuple(buckets))
    yield Sample("venue_journal_durable_seq", counters["durable_seq"])
    yield Sample("venue_journal_last_seq", counters["last_seq"])
    yield Sample("venue_queue_depth", counters["reports_waiting"], ("reports",))
    for instrument in config.instruments:
        yield Sample("venue_book_orders", writer.open_orders(instrument.id), (instrument.symbol,))
    strategies = [parent["strategy"] for parent in acceptor.parents()]
    for strategy in ("TWAP", "VWAP"):
        yield Sample("venue_parent_orders", strategies.count(strategy), (strategy,))
    yield Sample("venue_fix_messages_hot_total", acceptor.counters().get("messages_hot", 0))
    yield from session_samples(acceptor)


def session_samples(sessions: Any, slow_log_outs: int = 0) -> Iterable[Sample]:
    """What every gateway with FIX sessions shows of them."""
    fix = sessions.counters()
    yield Sample("venue_fix_messages_total", fix["messages_in"], ("in",))
    yield Sample("venue_fix_messages_total", fix["messages_out"], ("out",))
    yield Sample("venue_fix_rejects_total", fix["rejects"])
    yield Sample("venue_fix_logons_refused_total", fix["logons_refused"])
    yield Sample("venue_fix_throttled_total", fix["throttled"])
    yield Sample("venue_fix_malformed_total", fix["garbled"])
    yield Sample("venue_fix_slow_consumers_total", fix["slow_consumers"] + slow_log_outs)
    for session in sessions.sessions():
        yield Sample("venue_fix_session_up", int(session["logged_on"]), (session["comp_id"],))


def archive(config: Config) -> int:
    """Follows the journal and seals batches."""
    from venue import sealer

    stop = stop_event()

    def serve_metrics(running: sealer.Sealer) -> None:
        def read() -> Iterable[Sample]:
            yield Sample("venue_batches", running.archive.next_batch_id - 1, ("sealed",))
            yield Sample("venue_archive_lag_commands", running.lag_commands)

        metrics(config, PORT_ARCHIVE, read)

    return sealer.run(config, stop, on_start=serve_metrics)


def drop_copy(config: Config) -> int:
    """Copies members' reports to their drop-copy sessions. Whatever ends it, trading goes on and nothing is lost."""
    from fix_sessions.drop_copy import DropCopy, Incomplete
    from venue.follower import JournalDamaged

    stop = stop_event()
    try:
        gateway = DropCopy(config)
    except ValueError as error:
        print(f"venue: {error}", file=sys.stderr)
        return 1
    reason = "the venue is closing"
    try:
        gateway.open()
        metrics(config, PORT_DROP_COPY, lambda: _drop_copy_samples(gateway))
        gateway.run(stop)
    except (JournalDamaged, Incomplete, OSError, RuntimeError) as error:
        event(log, "drop copy stopped", logging.CRITICAL, alarm="drop_copy", reason=str(error))
        print(f"venue: {error}", file=sys.stderr)
        reason = "the drop-copy gateway is restarting"
        return 1
    finally:
        gateway.close(reason)
    return 0


def _drop_copy_samples(gateway: Any) -> Iterable[Sample]:
    """What /metrics of the drop-copy gateway shows."""
    yield Sample("venue_drop_copy_lag_seconds", gateway.lag_seconds)
    yield Sample("venue_drop_copy_lag_commands", gateway.lag_commands)
    yield Sample("venue_drop_copies_total", gateway.copies)
    yield from session_samples(gateway.listener)


def market_data(config: Config) -> int:
    """Follows the journal and tells brokers what the market looks like."""
    from fix_sessions import market_data as gateway

    stop = stop_event()

    def serve_metrics(running: gateway.MarketData) -> None:
        metrics(config, PORT_MARKET_DATA, lambda: _market_data_samples(running))

    return gateway.run(config, stop, on_start=serve_metrics)


def _market_data_samples(running: Any) -> Iterable[Sample]:
    """What /metrics of the market data gateway shows."""
    yield Sample("venue_market_data_lag_commands", running.follower.lag)
    yield Sample("venue_market_data_lag_seconds", running.lag_seconds)
    yield Sample("venue_market_data_subscriptions", running.desk.subscriptions)
    yield Sample("venue_market_data_updates_total", running.desk.updates)
    yield Sample("venue_market_data_trades_total", running.feed.trade_count)
    yield Sample("venue_market_data_catch_ups_total", running.desk.catch_ups)
    yield from session_samples(running.listener, running.desk.slow_log_outs)


def chain(config: Config) -> int:
    """The embedded development chain, for settlement to find through data_dir/chain.json."""
    from settlement import devchain
    from settlement.errors import SettlementError

    try:
        devchain.run(config.data_dir, stop_event())
    except (SettlementError, OSError) as error:
        event(log, "chain stopped", logging.CRITICAL, alarm="chain", reason=str(error))
        return 1
    return 0


def _settlement_samples(config: Config) -> Iterable[Sample]:
    """What /metrics of the settlement shows, read from the ledger when asked."""
    from settlement.service import SettlementConfig, open_ledger

    ledger = open_ledger(SettlementConfig.from_mapping(settlement_settings(config)))
    try:
        states, halted = ledger.batch_states(), ledger.halted()
    finally:
        ledger.close()
    for name, count in sorted(Counter(state.state for state in states).items()):
        yield Sample("venue_batches", count, (name,))
    shares = [(s.commit_gas, s.commit_batches) for s in states] + [(s.prove_gas, s.prove_batches) for s in states]
    yield Sample("venue_anchor_gas_total", sum(gas / batches for gas, batches in shares if gas and batches))
    yield Sample("venue_settlement_halted", int(halted is not None))


class ArchiveProver:
    """Proves sealed batches with one backend; what the settlement follower calls in the background."""

    def __init__(self, backend: Any, out_dir: Path, progress: Callable[[str, float], None] | None = None) -> None:
        from proving import programs

        self.backend = backend
        self.program = programs.get(PROGRAM)
        self.out_dir = out_dir
        self.progress = progress

    def prove(self, record: BatchRecord, input_path: Path) -> Any:
        """Proves one batch and refuses a result for other public values than the record's."""
        from proving.errors import ProvingError

        result = self.backend.prove(self.program, input_path, self.out_dir, self.progress)
        if result.public_values != record.public_values():
            raise ProvingError(f"batch {record.batch_id}: the proof has other public values than the archive's record")
        return result

    def close(self) -> None:
        self.backend.close()


class ProofCheck:
    """Verifies a proof by the backend that made it; the attester signs nothing without it."""

    def __init__(self, folder: Path) -> None:
        from proving.backends import Backend

        self.folder = folder
        self.backends: dict[str, Backend] = {}

    def __call__(self, proof: bytes, program_id: bytes, public_values: bytes, backend: str) -> bool:
        from proving import backends

        if backend not in self.backends:
            self.backends[backend] = backends.backend(backend)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "under-check.proof"
        path.write_bytes(proof)
        try:
            verdict = self.backends[backend].verify(path, program_id, public_values)
        finally:
            path.unlink(missing_ok=True)
        return bool(verdict)


def settlement_settings(config: Config, *, alone: bool = False) -> dict[str, Any]:
    """The settlement's own settings. `alone`: the embedded chain is opened in this process, not asked over HTTP."""
    from proving import programs

    section = config.settlement
    chain = section.chain
    if chain == EMBEDDED_CHAIN and not alone:
        chain += str(config.data_dir / "chain.json")
    return {
        "data_dir": str(config.data_dir),
        "archive_dir": str(config.archive_dir),
        "program_id": programs.get(PROGRAM).program_id.hex(),
        "chain": chain,
        "simulated_finality_blocks": section.simulated_finality_blocks,
        "ledger_url": section.ledger_url,
        "range_batches": section.range_batches,
        "range_seconds": float(section.range_seconds),
        "prove_seconds": float(section.range_seconds),
        "poll_seconds": section.poll_seconds,
        "stop_ledger": True,
    }


def prover(config: Config, name: str, progress: Callable[[str, float], None] | None = None) -> ArchiveProver | None:
    """The prover of the configured backend; None for `none`."""
    from proving import backends

    if name == "none":
        return None
    return ArchiveProver(backends.backend(name), config.data_dir / "proofs", progress)


def settlement(config: Config) -> int:
    """Commits what is sealed, proves it in the background, has it attested."""
    from settlement import service
    from settlement.errors import SettlementError

    stop = stop_event()
    made = prover(config, config.proving.backend)
    metrics(config, PORT_SETTLEMENT, lambda: _settlement_samples(config))
    try:
        service.run(settlement_settings(config), stop, made, ProofCheck(config.data_dir / "proofs"))
    except SettlementError as error:
        event(log, "settlement stopped", logging.CRITICAL, alarm="settlement", reason=str(error))
        print(f"venue: {error}", file=sys.stderr)
        return 1
    finally:
        if made is not None:
            made.close()
    return 0


def prove(config: Config, batch_id: int, backend: str, say: Callable[[str], None] = print) -> int:
    """Proves one sealed batch, verifies the proof, has it attested on the chain. Needs the settlement to be stopped.

    Says each stage; returns 0 when the chain holds the attestation.
    """
    from proving.errors import ProvingError
    from settlement.errors import SettlementError
    from settlement.service import Settlement, SettlementConfig

    made: ArchiveProver | None = None
    try:
        settings = SettlementConfig.from_mapping(settlement_settings(config, alone=True))
        place = Settlement(settings, None, ProofCheck(config.data_dir / "proofs"))
        try:
            place.follower.archive.notice()
            records = place.ledger.records([batch_id])
            if not records:
                print(f"venue: batch {batch_id} is not sealed in {config.archive_dir}", file=sys.stderr)
                return 2
            made = prover(config, backend, _stages(say))
            assert made is not None
            result = made.prove(records[0], place.ledger.input_path(batch_id))
            say(f"proved: {result.cycles:,} cycles, {result.seconds:.1f} s, {result.bytes:,} bytes; verified")
            return _attest(place, batch_id, result, say)
        finally:
            place.close()
    except (SettlementError, ProvingError) as error:
        print(f"venue: {error}", file=sys.stderr)
        return 1
    finally:
        if made is not None:
            made.close()


def _attest(place: Any, batch_id: int, result: Any, say: Callable[[str], None]) -> int:
    """Has the proof signed and the signature taken by the contract; waits for it a bounded time."""
    from settlement.follower import proof_row

    place.ledger.add_proof(proof_row(batch_id, result))
    deadline = time.monotonic() + ATTEST_SECONDS_MAX
    while time.monotonic() < deadline:
        place.follower.step()
        place.follower.prove_step()
        state = next(s for s in place.ledger.batch_states() if s.batch_id == batch_id)
        if state.prove_tx is not None and state.prove_state in ("mined", "safe", "final"):
            say(f"on the chain: batch {batch_id}, assurance {state.assurance}, gas {state.prove_gas:,}")
            return 0
        time.sleep(0.1)
    print(f"venue: batch {batch_id} was not attested within {ATTEST_SECONDS_MAX:.0f} s", file=sys.stderr)
    return 1


def _stages(say: Callable[[str], None]) -> Callable[[str, float], None]:
    """Says each stage of a proof once."""
    said: set[str] = set()

    def progress(stage: str, fraction: float) -> None:
        if stage not in said:
            said.add(stage)
            say(f"stage: {stage}")

    return progress
