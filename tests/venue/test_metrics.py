"""The metrics catalogue: names follow Prometheus practice, and what is served is what was read."""

from __future__ import annotations

import re
import urllib.request

import pytest

from venue.metrics import CATALOGUE, Sample, serve

UNITS = (
    "_total",
    "_seconds",
    "_bytes",
    "_commands",
    "_seq",
    "_subscriptions",
    "_up",
    "_depth",
    "_orders",
    "_batches",
    "_halted",
)


@pytest.mark.parametrize("name", CATALOGUE)
def test_name(name):
    definition = CATALOGUE[name]
    assert re.fullmatch(r"venue_[a-z_]+", name)
    assert (definition.kind == "counter") == name.endswith("_total")
    assert name.endswith(UNITS)
    assert definition.help


def test_served_values_are_the_read_ones():
    values = [
        Sample("venue_journal_bytes_total", 42),
        Sample("venue_batches", 3, ("sealed",)),
        Sample("venue_batches", 1, ("final",)),
        Sample("venue_journal_sync_seconds", 0.5, (), (("0.001", 2), ("+Inf", 5))),
    ]
    endpoint = serve("127.0.0.1", 0, lambda: values)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        endpoint.close()
    assert "venue_journal_bytes_total 42.0" in text
    assert 'venue_batches{state="sealed"} 3.0' in text
    assert 'venue_batches{state="final"} 1.0' in text
    assert 'venue_journal_sync_seconds_bucket{le="0.001"} 2.0' in text
    assert "venue_journal_sync_seconds_sum 0.5" in text


def test_an_unknown_name_cannot_be_served():
    endpoint = serve("127.0.0.1", 0, lambda: [Sample("venue_surprise", 1)])
    try:
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics")
    finally:
        endpoint.close()
