"""RONEC, the Romanian Named Entity Corpus (Dumitrescu and Avram 2020; v2), MIT License.

Files, under `<data>/ronec/`:
    train.json, valid.json    RONEC v2 as its repository publishes it (`valid.json` is enough
                              where the training part cannot be had)
    ronec_v1_minus_v2eval.v2format.json.gz    sentences of v1 in the same format, tags mapped to
                              v2; annotated under older guidelines, so its entities differ
Splits: `train`, `valid`, `v1`. A record is
    {"id", "tokens": [str], "ner_tags": [BIO2 over 15 classes], "space_after": [bool]}
"""

import gzip
import json
import re
import zlib
from pathlib import Path

from training.datasets.examples import TaggedSentence
from training.errors import DataError

FILES = {
    "train": ("train.json", "train.json.gz"),
    "valid": ("valid.json", "valid.json.gz"),
    "v1": ("ronec_v1_minus_v2eval.v2format.json.gz", "ronec_v1_minus_v2eval.v2format.json"),
}


def read(data_dir: Path, split: str) -> list[TaggedSentence]:
    """Read one split, in file order.

    Raises:
        DataError: a file is missing or a record malformed; names file, line and record.
    """
    folder = data_dir / "ronec"
    path = next((folder / name for name in FILES[split] if (folder / name).exists()), None)
    if path is None:
        raise DataError(f"{folder}: none of {', '.join(FILES[split])} is there")
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: unreadable ({error})") from error
    return [
        _sentence(record, f"{path}:{line}: record {index}")
        for index, (record, line) in enumerate(_records(text, path))
    ]


def _records(text: str, path: Path) -> list[tuple[object, int]]:
    """The records of a JSON array, each with the line it starts on."""
    decoder = json.JSONDecoder()
    records: list[tuple[object, int]] = []
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
            records.append((record, line))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: record {len(records)}: {error.msg}") from error
    raise DataError(f"{path}:1: a JSON array of records is expected")


def _sentence(record: object, place: str) -> TaggedSentence:
    if not isinstance(record, dict):
        raise DataError(f"{place}: an object is expected, got {type(record).__name__}")
    missing = {"tokens", "ner_tags"} - record.keys()
    if missing:
        raise DataError(f"{place}: no {' and no '.join(sorted(missing))}")
    place = f"{place} (id {record.get('id')})"
    words, tags = record["tokens"], record["ner_tags"]
    space_after = record.get("space_after", [True] * len(words) if words else [])
    if not all(isinstance(field, list) for field in (words, tags, space_after)):
        raise DataError(f"{place}: tokens, ner_tags and space_after must be lists")
    if not len(words) == len(tags) == len(space_after):
        raise DataError(
            f"{place}: {len(words)} tokens, {len(tags)} tags and {len(space_after)} space_after"
        )
    if not words or not all(isinstance(word, str) and word for word in words):
        raise DataError(f"{place}: tokens must be non-empty strings")
    odd = [tag for tag in tags if not re.fullmatch(r"O|[BI]-.+", str(tag))]
    if odd:
        raise DataError(f"{place}: tag {odd[0]!r} is not O, B-X or I-X")
    return TaggedSentence(tuple(words), tuple(tags), tuple(bool(s) for s in space_after))
