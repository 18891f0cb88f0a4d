"""Facebook's multilingual task-oriented utterances; no licence is stated for this form of the data.

Schuster et al. 2019, "Cross-lingual Transfer Learning for Multilingual Task Oriented Dialog";
https://fb.me/multilingual_task_oriented_data, as preprocessed in
https://github.com/sz128/slot_filling_and_intent_detection_of_SLU (Apache-2.0).

Files, under `<data>/fb-multilingual-task-oriented/{en,es,th}/`: train, valid, test:
    tell:O me:O the:O weather:B-weather__noun <=> weather__find
A word may hold colons, the last one precedes the tag. Thai is segmented.
Splits: `train`, `dev` (the file valid), `test`. Requests repeat as people repeat them: a third of
English dev occurs in train and is left there.
"""

from pathlib import Path

from training.datasets.bio import bio2
from training.datasets.corpus_files import locate, read_lines
from training.datasets.examples import TaggedSentence, Utterance
from training.errors import DataError

FILES = {"train": "train", "dev": "valid", "test": "test"}
LANGUAGES = ("en", "es", "th")


def read(data_dir: Path, split: str, *, language: str) -> list[Utterance]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a line malformed; names file and line.
    """
    path = locate(data_dir / "fb-multilingual-task-oriented" / language, FILES[split])
    return [
        _utterance(line, f"{path}:{number}")
        for number, line in enumerate(read_lines(path), start=1)
        if line.strip()
    ]


def _utterance(line: str, place: str) -> Utterance:
    tagged, arrow, intent = line.rpartition(" <=> ")
    pairs = [token.rpartition(":") for token in tagged.split(" ") if token]
    if not (arrow and intent.strip() and pairs):
        raise DataError(f"{place}: expected `word:tag ... <=> intent`")
    if not all(word and colon for word, colon, _ in pairs):
        raise DataError(f"{place}: a token is not of the form word:tag")
    words = tuple(word for word, _, _ in pairs)
    tags = bio2([tag for _, _, tag in pairs], place)
    return Utterance(TaggedSentence(words, tags, (True,) * len(words)), intent.strip())
