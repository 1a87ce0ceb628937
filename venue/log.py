"""One JSON object a line: what happened, when, and to what.

`event` is a fixed noun phrase (never interpolated), so that an operator can count and search; facts are fields.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TextIO


class JsonFormatter(logging.Formatter):
    """One line: ts_ns, level, process, logger, event, then the facts given to `event()`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts_ns": time.time_ns(),
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(process: str, stream: TextIO | None = None) -> None:
    """Sends every log record of this process to `stream` (default stderr), one JSON object a line."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def event(logger: logging.Logger, noun: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Logs a fixed event name with its facts."""
    logger.log(level, noun, extra={"fields": fields})
