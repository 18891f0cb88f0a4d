"""Corpus files as text, tables and JSON, every failure named by file, line and record.

A file may be compressed: wherever a reader names `train.csv`, `train.csv.gz` serves as well.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from training.errors import DataError

Value = TypeVar("Value")


def locate(folder: Path, *names: str) -> Path:
    """The first of some files that is there, plain or with `.gz`.

    Raises:
        DataError: none is.
    """
    candidates = [name + suffix for name in names for suffix in ("", ".gz")]
    path = next((folder / name for name in candidates if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{folder}: none of {', '.join(candidates)} is there")
    return path


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file.

    Raises:
        DataError: it cannot be read, decompressed or decoded.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: unreadable ({error})") from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def read_lines(path: Path) -> list[str]:
    """Lines that end in a line feed, and in nothing else: texts may hold U+0085 or U+2028."""
    lines = read_text(path).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_tsv(path: Path, columns: int, *, header: bool = False) -> Iterator[tuple[list[str], str]]:
    """Rows of a tab-separated file in which quotes mean nothing, each with its place.

    Raises:
        DataError: a row has another number of columns.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if number == 1 and header:
            continue
        row, place = line.split("\t"), f"{path}:{number}"
        _check_width(row, columns, place)
        yield row, place


def read_csv(path: Path, columns: int, *, header: bool = False) -> Iterator[tuple[list[str], str]]:
    """Rows of a comma-separated file, whose quoted fields may span lines, each with its place.

    Raises:
        DataError: a row has another number of columns, or a quote is never closed.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for number, row in enumerate(rows):
            place = f"{path}:{rows.line_num}"
            if row and not (number == 0 and header):
                _check_width(row, columns, place)
                yield row, place
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: {error}") from error


def read_json(path: Path) -> object:
    """The value in a JSON file.

    Raises:
        DataError: it is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: {error.msg}") from error


def read_json_array(path: Path) -> list[tuple[object, str]]:
    """The records of a JSON array, each with its place.

    Raises:
        DataError: it is no JSON array.
    """
    text = read_text(path)
    decoder = json.JSONDecoder()
    records: list[tuple[object, str]] = []
    line, counted = 1, 0
    position = text.find("[") + 1 if text.lstrip().startswith("[") else 0
    try:
        while position > 0:
            while text[position : position + 1] in (" ", "\n", "\r", "\t", ","):
                position += 1
            if text[position : position + 1] == "]":
                return records
            line += text.count("\n", counted, position)
            counted = position
            record, position = decoder.raw_decode(text, position)
            records.append((record, f"{path}:{line}: record {len(records)}"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: record {len(records)}: {error.msg}") from error
    raise DataError(f"{path}:1: a JSON array of records is expected")


def read_json_lines(path: Path) -> Iterator[tuple[object, str]]:
    """The JSON value of each line that is not empty, with its place.

    Raises:
        DataError: a line is not JSON.
    """
    for number, line in enumerate(read_lines(path), start=1):
        place = f"{path}:{number}"
        if line.strip():
            try:
                yield json.loads(line), place
            except json.JSONDecodeError as error:
                raise DataError(f"{place}: {error.msg}") from error


def field(record: object, name: str, kind: type[Value], place: str) -> Value:
    """A field of a JSON object.

    Raises:
        DataError: no object, no such field, or a value of another type.
    """
    if not isinstance(record, dict):
        raise DataError(f"{place}: an object is expected, got {type(record).__name__}")
    if name not in record:
        raise DataError(f"{place}: no {name}")
    return expect(record[name], kind, name, place)


def expect(value: object, kind: type[Value], what: str, place: str) -> Value:
    """A value of the type that it must have.

    Raises:
        DataError: it has another, or is an empty string.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise DataError(f"{place}: {what} must be {kind.__name__}, got {type(value).__name__}")
    if isinstance(value, str) and not value.strip():
        raise DataError(f"{place}: {what} is empty")
    return value


def one_of(labels: dict[str, Value], found: str, place: str) -> Value:
    """What a corpus's own label stands for.

    Raises:
        DataError: it is none of them.
    """
    if found not in labels:
        raise DataError(f"{place}: label {found!r} is none of {', '.join(labels)}")
    return labels[found]


def number_in(text: str, low: float, high: float, place: str) -> float:
    """A number in [low, high].

    Raises:
        DataError: it is none, or out of range.
    """
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise DataError(f"{place}: {text!r} is no number from {low:g} to {high:g}")
    return number


def _check_width(row: list[str], columns: int, place: str) -> None:
    if len(row) != columns:
        raise DataError(f"{place}: {len(row)} columns, expected {columns}")
