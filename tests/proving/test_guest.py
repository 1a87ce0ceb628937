"""The guest's program as a plain function: what it accepts, what it refuses, and that every rule and word counts."""

from __future__ import annotations

import contextlib
import ctypes
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cores import EventKind, Reason
from cores.batch import Sealed
from proving.guest import native
from proving.guest.build import ROOT
from proving.guest.native import GuestError, GuestStatus
from tests.proving.fix_day import sealed_day
from tests.proving.fix_guest import sealed_at_random, sealed_story
from tests.proving.fix_story import MARKET
from tests.proving.mutants import MUTANTS, Mutant
from tests.proving.mutants_of_busts import MUTANTS_OF_BUSTS
from tests.proving.mutants_of_futures import MUTANTS_OF_FUTURES
from tests.proving.mutants_of_pages import MUTANTS_OF_PAGES

HEADER_WORDS = 12
# Header words that only size the guest's memory, and their bounds: more than needed is no claim.
REGIONS = {4: MARKET.symbols, 5: MARKET.accounts}
EXAMPLES = settings(max_examples=150, deadline=None)
RUN_SECONDS_MAX = 5


@pytest.fixture(scope="module")
def story() -> Sealed:
    return sealed_story()


def words_of(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 8}Q", data))


def packed(words: list[int]) -> bytes:
    return struct.pack(f"<{len(words)}Q", *words)


def refused(data: bytes) -> GuestStatus | None:
    try:
        native.run(data)
    except GuestError as error:
        return error.status
    return None


def test_the_story_has_every_kind_and_most_reasons(story: Sealed) -> None:
    """So that a rule that is broken anywhere shows in it."""
    assert native.run(story.guest_input) == story.public_values
    kinds = {EventKind(kind) for kind in story.events["kind"]}
    assert kinds == set(EventKind)
    reasons = {Reason(reason) for reason in story.events["reason"]}
    never = {
        Reason.REJECT_NOTIONAL_TOO_LARGE,
        Reason.REJECT_BOOK_FULL,
        Reason.REJECT_BAD_INSTRUMENT,
        Reason.REJECT_BAD_ASSET,
    }
    missing = {r for r in Reason if r < 128} - reasons - never
    assert missing == set()


DAY_KINDS = {EventKind.PHASE, EventKind.TRIGGERED, EventKind.REFRESHED, EventKind.RESTATED, EventKind.INDICATIVE}
DAY_REASONS = {Reason.CANCEL_SELF_MATCH, Reason.CANCEL_VOLATILITY, Reason.CANCEL_AUCTION, Reason.REJECT_BAD_PHASE}


def test_days_of_every_phase() -> None:
    """Batches with uncrosses, cascades, icebergs and volatility calls in them: the core's own bytes and roots."""
    kinds: set[int] = set()
    reasons: set[int] = set()
    uncrosses = 0
    for seed in range(30):
        sealed = sealed_day(seed)
        assert native.run(sealed.guest_input) == sealed.public_values, f"seed {seed}"
        kinds |= set(sealed.events["kind"].tolist())
        reasons |= set(sealed.events["reason"].tolist())
        uncrosses += int(((sealed.events["kind"] == EventKind.PHASE) & (sealed.events["qty_lots"] > 0)).sum())
    assert kinds >= DAY_KINDS
    assert reasons >= DAY_REASONS
    assert uncrosses >= 10


def test_the_exported_function(story: Sealed) -> None:
    """The library's C symbol gives what the module gives."""
    library = ctypes.CDLL(str(native.library_path()))
    out = ctypes.create_string_buffer(264)
    assert library.venue_guest_run(story.guest_input, ctypes.c_size_t(len(story.guest_input)), out) == 0
    assert out.raw == story.public_values


@EXAMPLES
@given(st.integers(0, 2**32), st.data())
def test_any_changed_word_is_refused_or_shows(seed: int, data: st.DataObject) -> None:
    """One bit of one word of the input: other public values, or none. Nothing in the input is taken on trust."""
    sealed = sealed_at_random(seed % 20, 12)
    words = words_of(sealed.guest_input)
    index = data.draw(st.integers(0, len(words) - 1).filter(lambda i: i not in REGIONS))
    words[index] ^= 1 << data.draw(st.integers(0, 63))
    with contextlib.suppress(GuestError):
        assert native.run(packed(words)) != sealed.public_values, f"word {index} of {len(words)} does not count"


def test_every_header_word_at_its_edges(story: Sealed) -> None:
    """Counts that are wrong by one, huge, or wrap: refused, never read beyond the input."""
    words = words_of(story.guest_input)
    for index in range(8):
        for value in (0, words[index] - 1, words[index] + 1, 2**31, 2**60, 2**61, 2**63, 2**64 - 1):
            if value % 2**64 == words[index] or words[index] <= value <= REGIONS.get(index, 0):
                continue
            changed = [*words]
            changed[index] = value % 2**64
            assert refused(packed(changed)), f"header word {index} = {value:#x}"


def test_cut_or_extended_inputs(story: Sealed) -> None:
    data = story.guest_input
    for size in {*range(0, 256, 8), *range(len(data) - 256, len(data), 8), len(data) // 2}:
        assert refused(data[:size])
    assert refused(data[:-1]) == GuestStatus.BAD_INPUT
    for extra in (bytes(8), bytes(64), data[-64:]):
        assert refused(data + extra)


@EXAMPLES
@given(st.integers(0, 2**32))
def test_rubbish(seed: int) -> None:
    """Many words replaced at once by likely numbers, or words moved: an answer, not a crash."""
    rng = Random(seed)
    words = words_of(sealed_at_random(seed % 5, 8).guest_input)
    for _ in range(rng.randint(1, 30)):
        index = rng.randrange(len(words))
        words[index] = rng.choice([0, 1, 2**64 - 1, 2**63, rng.getrandbits(64), rng.choice(words), len(words)])
    if rng.random() < 0.3:
        del words[rng.randrange(len(words))]
    assert refused(packed(words)) in {None, *GuestStatus}


def test_a_shown_state_must_be_the_one_behind_the_root() -> None:
    """A richer account or a better queue place gives another prev_state_root: the chain of roots breaks."""
    sealed = sealed_at_random(3, 30)
    words = words_of(sealed.guest_input)
    start = words.index(1, len(words) - 8 * 60)
    changes = 0
    for index in range(start, len(words)):
        changed = [*words]
        changed[index] += 1 if words[index] < 2**64 - 1 else -1
        try:
            values = native.run(packed(changed))
        except GuestError:
            continue
        changes += 1
        assert values[40:72] != sealed.prev_state_root
    assert changes > 10


def test_what_is_left_out_is_missed(story: Sealed) -> None:
    """A batch whose commands need an account that the input hides cannot be proved."""
    sealed = sealed_at_random(1, 40)
    words = words_of(sealed.guest_input)
    symbols, accounts = words[2], words[3]
    assert accounts >= 2
    numbers = HEADER_WORDS + symbols
    changed = [*words]
    changed[numbers + accounts - 1] += 1
    assert refused(packed(changed)) == GuestStatus.BAD_STATE
    changed = [*words]
    changed[numbers], changed[numbers + 1] = words[numbers + 1], words[numbers]
    assert refused(packed(changed)) == GuestStatus.BAD_STATE
    without = words_of(story.guest_input)
    without[5] -= 1
    assert refused(packed(without)) == GuestStatus.MISSING


def test_commands_out_of_order_are_refused(story: Sealed) -> None:
    words = words_of(story.guest_input)
    start = HEADER_WORDS + words[2] + words[3] + 4 * (words[6] + words[7])
    for first, second in ((0, 1), (20, 50)):
        changed = [*words]
        a, b = (slice(start + 8 * i, start + 8 * i + 8) for i in (first, second))
        changed[a], changed[b] = words[b], words[a]
        assert refused(packed(changed)) == GuestStatus.BAD_COMMAND


# ---- one mutant a rule: the same program with one rule broken gives other public values ----

RUN = """
import ctypes, sys
out = ctypes.create_string_buffer(264)
data = sys.stdin.buffer.read()
code = ctypes.CDLL(sys.argv[1]).venue_guest_run(data, ctypes.c_size_t(len(data)), out)
sys.stdout.buffer.write(out.raw if code == 0 else b"")
"""


class Workbench:
    """A copy of the C sources that compiles to a library after one change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("cores", "proving/guest"):
            (folder / part).mkdir(parents=True)
            for path in [*(ROOT / part).glob("*.[ch]")]:
                if not path.name.startswith("_"):
                    shutil.copy(path, folder / part)
        self.compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        assert self.compiler, "a C compiler is needed, as for building the project"

    def library(self, name: str) -> Path:
        """Compiles what is there now; files whose text did not change are not compiled again."""
        objects = []
        sources = [*(self.folder / "cores").glob("*.c"), self.folder / "proving/guest/main.c",
                   self.folder / "proving/guest/native.c"]  # fmt: skip
        flags = ["-std=gnu11", "-O0", "-fno-strict-aliasing", "-fPIC", "-DVENUE_GUEST", "-I", self.folder / "cores"]
        for source in sources:
            made = source.with_suffix(".o")
            newest = max(path.stat().st_mtime_ns for path in [source, *source.parent.glob("*.h")])
            if not made.exists() or made.stat().st_mtime_ns <= newest:
                subprocess.run([self.compiler, *flags, "-c", source, "-o", made], check=True)
            objects.append(made)
        library = self.folder / f"{name}.so"
        subprocess.run([self.compiler, "-shared", "-o", library, *objects], check=True)
        return library

    def outcome(self, library: Path, data: bytes) -> bytes:
        """Public values, or nothing when it refuses, dies or never ends; in a process of its own, therefore."""
        try:
            return subprocess.run(
                [sys.executable, "-c", RUN, library], input=data, capture_output=True, timeout=RUN_SECONDS_MAX
            ).stdout
        except subprocess.TimeoutExpired:
            return b""


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(tmp_path_factory.mktemp("mutants"))


def test_the_unchanged_program_agrees(workbench: Workbench, story: Sealed) -> None:
    assert workbench.outcome(workbench.library("honest"), story.guest_input) == story.public_values


@pytest.mark.parametrize(
    "mutant", [*MUTANTS, *MUTANTS_OF_FUTURES, *MUTANTS_OF_PAGES, *MUTANTS_OF_BUSTS], ids=lambda mutant: mutant.rule
)
def test_a_program_without_this_rule_gives_another_result(workbench: Workbench, story: Sealed, mutant: Mutant) -> None:
    """What a venue with that rule broken would claim is never what the published program proves."""
    folder = workbench.folder / "cores"
    honest = {folder / file: (folder / file).read_text() for file, _, _ in mutant.changes}
    try:
        for file, old, new in mutant.changes:
            text = (folder / file).read_text()
            assert old in text, f"{file} no longer says {old!r}: give this mutant its new words"
            (folder / file).write_text(text.replace(old, new))
        values = workbench.outcome(workbench.library(re.sub(r"\W+", "_", mutant.rule)), story.guest_input)
    finally:
        for path, text in honest.items():
            path.write_text(text)
    assert values != story.public_values
