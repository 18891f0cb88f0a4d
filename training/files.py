"""Writing files so that a reader sees the old content or the new, never a half."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace `path` with `text` (UTF-8) in one step."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    replace(unfinished, path)


def replace(written: Path, path: Path) -> None:
    """Put a written file in the place of `path`, on disk before the name points to it."""
    with written.open("rb") as file:
        os.fsync(file.fileno())
    written.replace(path)
