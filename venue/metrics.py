"""What each process tells Prometheus: one catalogue of names, read when scraped.

The catalogue is the contract with the operators' alerts and dashboards: a metric that is not in it cannot be served.
Values are read from the process's own counters at scrape time, so the order path pays nothing for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True)
class Definition:
    kind: str  # counter, gauge, histogram
    help: str
    labels: tuple[str, ...] = ()


CATALOGUE: dict[str, Definition] = {
    "venue_fix_messages_total": Definition("counter", "FIX messages", ("direction",)),
    "venue_fix_messages_hot_total": Definition("counter", "D, F and G taken in by the native application's hot lane"),
    "venue_fix_session_up": Definition("gauge", "1 while the session is logged on", ("session",)),
    "venue_fix_rejects_total": Definition("counter", "Session and business rejects sent"),
    "venue_fix_logons_refused_total": Definition("counter", "Logons refused"),
    "venue_fix_throttled_total": Definition("counter", "Messages refused, and sessions ended, for sending too many"),
    "venue_fix_malformed_total": Definition("counter", "Messages that could not be read as FIX"),
    "venue_fix_slow_consumers_total": Definition("counter", "Sessions cut off because they did not read"),
    "venue_journal_records_total": Definition("counter", "Commands journaled by this process"),
    "venue_journal_bytes_total": Definition("counter", "Bytes journaled by this process"),
    "venue_journal_syncs_total": Definition("counter", "Syncs of the journal"),
    "venue_journal_sync_seconds": Definition("histogram", "Time of a sync of the journal"),
    "venue_journal_durable_seq": Definition("gauge", "Sequence number up to which the journal is durable"),
    "venue_journal_last_seq": Definition("gauge", "Sequence number of the last applied command"),
    "venue_queue_depth": Definition("gauge", "Entries waiting", ("queue",)),
    "venue_book_orders": Definition("gauge", "Open orders", ("instrument",)),
    "venue_parent_orders": Definition("gauge", "Parent orders of execution algorithms at work", ("strategy",)),
    "venue_batches": Definition("gauge", "Batches by state", ("state",)),
    "venue_archive_lag_commands": Definition("gauge", "Durable commands not yet in a sealed batch"),
    "venue_drop_copy_lag_seconds": Definition("gauge", "Age of the oldest durable command without its drop copies"),
    "venue_drop_copy_lag_commands": Definition("gauge", "Durable commands without their drop copies"),
    "venue_drop_copies_total": Definition("counter", "Reports copied to drop-copy sessions by this process"),
    "venue_market_data_lag_commands": Definition("gauge", "Durable commands that market data does not show yet"),
    "venue_market_data_lag_seconds": Definition("gauge", "Age of the last commands when market data took them in"),
    "venue_market_data_subscriptions": Definition("gauge", "Instruments subscribed to, over all sessions"),
    "venue_market_data_updates_total": Definition("counter", "Updates sent"),
    "venue_market_data_trades_total": Definition("counter", "Trades taken from the journal"),
    "venue_market_data_catch_ups_total": Definition("counter", "Sessions that were conflated further and read again"),
    "venue_anchor_gas_total": Definition("counter", "Gas spent on anchoring"),
    "venue_settlement_halted": Definition("gauge", "1 while the settlement waits for an operator"),
}


@dataclass(frozen=True)
class Sample:
    """One value. For a histogram `value` is the sum and `buckets` cumulative counts by upper bound in seconds."""

    name: str
    value: float
    labels: tuple[str, ...] = ()
    buckets: tuple[tuple[str, float], ...] = ()


class _CatalogueCollector(Collector):
    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for sample in self._read():
            definition = CATALOGUE[sample.name]
            family = families.setdefault(sample.name, _family(sample.name, definition))
            if isinstance(family, HistogramMetricFamily):
                family.add_metric(sample.labels, buckets=list(sample.buckets), sum_value=sample.value)
            elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
                family.add_metric(sample.labels, sample.value)
        return families.values()


def _family(name: str, definition: Definition) -> Metric:
    if definition.kind == "counter":
        return CounterMetricFamily(name, definition.help, labels=definition.labels)
    if definition.kind == "histogram":
        return HistogramMetricFamily(name, definition.help, labels=definition.labels)
    return GaugeMetricFamily(name, definition.help, labels=definition.labels)


@dataclass
class Endpoint:
    """A running `/metrics`; `port` is the one in use."""

    server: WSGIServer
    thread: threading.Thread

    @property
    def port(self) -> int:
        return int(self.server.server_port)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve(host: str, port: int, read: Callable[[], Iterable[Sample]]) -> Endpoint:
    """Serves what `read` returns at http://host:port/metrics. Raises OSError when the port is taken."""
    registry = CollectorRegistry()
    registry.register(_CatalogueCollector(read))
    server, thread = start_http_server(port, addr=host, registry=registry)
    return Endpoint(server, thread)
