"""RONEC, the Romanian Named Entity Corpus (Dumitrescu and Avram 2020; v2), MIT License.

Files, under `<data>/ronec/`:
    train.json, valid.json, test.json
                              RONEC v2 as its repository publishes it (`valid.json` is enough
                              where the other parts cannot be had)
    ronec_v1_minus_v2eval.v2format.json.gz    sentences of v1 in the same format, tags mapped to
                              v2; annotated under older guidelines, so its entities differ
Splits: `train`, `valid`, `test`, `v1`. A record is
    {"id", "tokens": [str], "ner_tags": [BIO2 over 15 classes], "space_after": [bool]}
"""

from pathlib import Path

from training.datasets.bio import check_tags
from training.datasets.corpus_files import locate, read_json_array
from training.datasets.examples import TaggedSentence
from training.errors import DataError

FILES = {
    "train": "train.json",
    "valid": "valid.json",
    "test": "test.json",
    "v1": "ronec_v1_minus_v2eval.v2format.json",
}


def read(data_dir: Path, split: str) -> list[TaggedSentence]:
    """Read one split, in file order.

    Raises:
        DataError: a file is missing or a record malformed; names file, line and record.
    """
    path = locate(data_dir / "ronec", FILES[split])
    return [_sentence(record, place) for record, place in read_json_array(path)]


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
    check_tags(tags, place)
    return TaggedSentence(tuple(words), tuple(tags), tuple(bool(s) for s in space_after))
