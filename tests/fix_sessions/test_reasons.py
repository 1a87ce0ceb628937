"""Every reason has words that say what and how to mend it, for every instrument."""

from __future__ import annotations

from pathlib import Path

import pytest

from cores import Reason
from fix_sessions import reasons
from tests.fix_sessions.rig import make_config


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason != Reason.NONE])
def test_every_reason_has_words(reason: Reason, tmp_path: Path):
    config = make_config(tmp_path)
    for instrument in (*config.instruments, None):
        text = reasons.texts(config, instrument)[reason]
        assert 10 < len(text) < 256 and text.isascii() and text.isprintable()
        assert "{" not in text
    assert reasons.order_codes()[reason] in {0, 1, 2, 3, 4, 5, 6, 11, 13, 15, 99}
    assert reasons.cancel_codes()[reason] in {0, 1, 2, 3, 4, 5, 6, 99}


def test_texts_name_the_instruments_terms(tmp_path: Path):
    config = make_config(tmp_path)
    bolt = reasons.texts(config, config.instruments[1])
    assert (
        "0.025" in bolt[Reason.REJECT_SESSION_PRICE_OFF_TICK] and "BOLT" in bolt[Reason.REJECT_SESSION_PRICE_OFF_TICK]
    )
    assert "5.000 to 40.000" in bolt[Reason.REJECT_PRICE_OUT_OF_COLLAR]


def test_what_is_no_reason_has_no_words(tmp_path: Path):
    texts = reasons.texts(make_config(tmp_path), None)
    assert [n for n in range(reasons.TEXTS) if texts[n]] == sorted(int(reason) for reason in reasons.WORDS)
