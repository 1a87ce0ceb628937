"""records.py against core.h: one contract, two spellings."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

import cores
from cores import COMMAND, EVENT, CoreConfig, records
from cores.rules import Command

HEADER = (Path(cores.__file__).parent / "core.h").read_text()
CODE = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)


def header_enum(name: str) -> dict[str, int]:
    body = re.search(rf"enum {name} \{{(.*?)\}};", CODE, re.S)
    assert body, f"core.h has no enum {name}"
    pairs = re.findall(r"(\w+)\s*=\s*(\w+)", body.group(1))
    return {key: int(value, 0) for key, value in pairs}


@pytest.mark.parametrize(
    ("name", "enum", "prefix"),
    [
        ("command_kind", records.CommandKind, "COMMAND_"),
        ("side", records.Side, "SIDE_"),
        ("ord_type", records.OrdType, "ORD_"),
        ("tif", records.Tif, "TIF_"),
        ("command_flag", records.CommandFlag, "FLAG_"),
        ("event_kind", records.EventKind, "EVENT_"),
        ("event_flag", records.EventFlag, "FLAG_"),
        ("core_status", records.CoreStatus, "CORE_"),
        ("invariant", records.Invariant, "INVARIANT_"),
    ],
)
def test_enums_are_the_headers(name: str, enum: type[IntEnum], prefix: str) -> None:
    ours = {prefix + key: int(value) for key, value in enum.__members__.items()}
    assert ours == header_enum(name)


def test_reasons_are_the_headers() -> None:
    theirs = header_enum("reason")
    assert theirs.pop("REJECT_SESSION_FIRST") == records.REJECT_SESSION_FIRST
    theirs["NONE"] = theirs.pop("REASON_NONE")
    assert {key: int(value) for key, value in records.Reason.__members__.items()} == theirs


def test_constants_are_the_headers() -> None:
    found = dict(re.findall(r"#define (\w+_(?:MAX|NONE|VERSION)) (.+)", CODE))
    assert len(found) >= 12
    for name, text in found.items():
        expression = re.sub(r"(?<=[0-9a-f])u(?:ll)?\b", "", text.strip())
        assert getattr(records, name) == eval(expression), name


def header_struct(name: str) -> list[str]:
    body = re.search(rf"struct {name} \{{(.*?)\}};", CODE, re.S)
    assert body, f"core.h has no struct {name}"
    return [field.strip() for line in re.findall(r"u64 ([^;\[]+);", body.group(1)) for field in line.split(",")]


@pytest.mark.parametrize(("name", "dtype"), [("command", COMMAND), ("event", EVENT)])
def test_layouts_are_the_headers(name: str, dtype: np.dtype[np.void]) -> None:
    """Eight words; head and owner are the only ones with narrower parts."""
    words = header_struct(name)
    assert len(words) == 8 and dtype.itemsize == 64
    by_offset = {offset: field for field, (_, offset) in dtype.fields.items()}
    for i, word in enumerate(words):
        if word not in ("head", "owner"):
            assert by_offset[8 * i] == word and dtype[word] == np.dtype("<u8")


def packed(dtype: np.dtype[np.void], **fields: int) -> list[int]:
    record = np.zeros(1, dtype)
    for name, value in fields.items():
        record[name] = value
    return [int(word) for word in record.view("<u8")]


def test_parts_of_head_and_owner_are_where_the_header_says() -> None:
    head = packed(COMMAND, kind=1, side=2, ord_type=3, tif=4, flags=5, precheck=6, symbol=7)[0]
    assert head == 1 | 2 << 8 | 3 << 16 | 4 << 24 | 5 << 32 | 6 << 40 | 7 << 48
    head = packed(EVENT, kind=1, reason=2, side=3, flags=4, symbol=5)[0]
    assert head == 1 | 2 << 8 | 3 << 16 | 4 << 24 | 5 << 48
    for dtype, word in ((COMMAND, 3), (EVENT, 2)):
        assert packed(dtype, account=1, session=2, asset=3)[word] == 1 | 2 << 32 | 3 << 48


def test_the_rules_read_commands_in_the_order_of_the_record() -> None:
    assert Command._fields == COMMAND.names


def test_config_is_the_headers() -> None:
    assert list(CoreConfig.__dataclass_fields__) == header_struct("core_config")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": 0}, "symbols is 0"),
        ({"accounts": 65537}, "accounts is 65537"),
        ({"assets": 1}, "assets is 1"),
        ({"orders": 100}, "must be a power of two"),
        ({"levels": 32}, "levels is 32"),
        ({"orders": "64"}, "must be a whole number"),
    ],
)
def test_a_bad_configuration_says_what_is_wrong(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CoreConfig(**changes)
