"""`venue replay`: a journal through a fresh core, from its first entry.

Why: whoever holds the journal can find out for himself what state it leads to and compare the root with an archive's,
a chain's or another machine's. It reads only, and stops at the first thing that is wrong.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from cores import CommandKind, Core, EventKind
from cores.roots import state_root
from venue._engine import JournalConfigError, JournalDamaged, JournalError, replay

EXIT_FAILED = 1
EXIT_DAMAGED = 3


@dataclass(frozen=True)
class Replayed:
    """What a replay found."""

    commands: int
    events: int
    last_seq: int
    last_time_ns: int
    by_command: dict[str, int]
    by_event: dict[str, int]
    state_root: bytes
    torn_bytes: int


def replayed(journal_dir: Path, to_seq: int | None = None) -> Replayed:
    """Replays the folder's journal up to `to_seq` (default: all). Raises JournalDamaged and JournalError."""
    found = replay(journal_dir, to_seq)
    return Replayed(
        commands=found["commands"],
        events=found["events"],
        last_seq=found["last_seq"],
        last_time_ns=found["last_time_ns"],
        by_command={_name(CommandKind, code): count for code, count in found["by_command"].items()},
        by_event={_name(EventKind, code): count for code, count in found["by_event"].items()},
        state_root=state_root(Core.restore(found["state"])),
        torn_bytes=found["torn_bytes"],
    )


def _name(kinds: type[CommandKind] | type[EventKind], code: int) -> str:
    try:
        return kinds(code).name
    except ValueError:
        return f"kind {code}"


def run(journal_dir: Path, to_seq: int | None = None) -> int:
    """Prints counts and the state root; returns the exit code: 0, 1 nothing to read, 3 damaged."""
    if (journal_dir / "journal").is_dir():
        journal_dir = journal_dir / "journal"
    if to_seq is not None and to_seq < 1:
        print(f"venue: --to: sequence numbers begin at 1, not {to_seq}", file=sys.stderr)
        return EXIT_FAILED
    try:
        found = replayed(journal_dir, to_seq)
    except JournalDamaged as error:
        print(f"venue: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    except (JournalConfigError, JournalError, OSError) as error:
        print(f"venue: {error}", file=sys.stderr)
        return EXIT_FAILED
    if to_seq is not None and found.last_seq < to_seq:
        print(f"venue: the journal ends at {found.last_seq}, before {to_seq}", file=sys.stderr)
        return EXIT_FAILED
    for title, counts in (("commands", found.by_command), ("events", found.by_event)):
        print(f"{title:<12} {sum(counts.values())}")
        for name, count in counts.items():
            print(f"  {name:<20} {count}")
    if found.torn_bytes:
        print(f"torn tail    {found.torn_bytes} bytes, never acknowledged")
    print(f"last seq     {found.last_seq}")
    print(f"state root   {found.state_root.hex()}")
    return 0
