"""Structured logs: one JSON object a line, an event name and its fields, never a request's text."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, event, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info and record.exc_info[0]:
            # Type and place only: the text of an exception may quote the caller's input.
            line["error"] = record.exc_info[0].__name__
            line["at"] = _place(record.exc_info[2])
        return json.dumps(line, default=str)


def configure(level: str, stream: TextIO) -> None:
    """Send every log record of the process to `stream` as JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its start and stop messages are prose about events that we log ourselves.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _place(traceback: TracebackType | None) -> str:
    """File and line of the innermost frame that is ours, else of the innermost one."""
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((Path(code.co_filename), traceback.tb_lineno))
        traceback = traceback.tb_next
    ours = [frame for frame in frames if "app" in frame[0].parts[-3:-1]]
    path, line = (ours or frames or [(Path("unknown"), 0)])[-1]
    return f"{path.parent.name}/{path.name}:{line}"
