"""SNIPS, and ATIS where a user holds it: intents and slots in three files that go line by line.

SNIPS: Coucke et al. 2018, "Snips Voice Platform"; https://github.com/sonos/nlu-benchmark (CC0 1.0
according to its authors; the copy in this form states no licence). ATIS: Hemphill et al. 1990,
distributed by the Linguistic Data Consortium, several intents of an utterance joined by `#`.

Files, under `<data>/snips/{train,valid,test}/` and `<data>/atis/{train,valid,test}/`:
    seq.in    words        seq.out    BIO tags        label    intent
Lines may end with a space, words may be two spaces apart.
Splits: `train`, `dev` (the folder valid), `test`.
"""

from pathlib import Path

from training.datasets.bio import bio2
from training.datasets.corpus_files import locate, read_lines
from training.datasets.examples import TaggedSentence, Utterance
from training.errors import DataError

FOLDERS = {"train": "train", "dev": "valid", "test": "test"}


def read(data_dir: Path, split: str, *, corpus: str) -> list[Utterance]:
    """Read one split, in file order.

    Raises:
        DataError: a file is missing, a line malformed, or the three do not line up.
    """
    folder = data_dir / corpus / FOLDERS[split]
    paths = [locate(folder, name) for name in ("seq.in", "seq.out", "label")]
    texts, tags, intents = (read_lines(path) for path in paths)
    if not len(texts) == len(tags) == len(intents):
        raise DataError(f"{folder}: {len(texts)} texts, {len(tags)} tags, {len(intents)} intents")
    return [
        _utterance(*line, f"{paths[1]}:{number}")
        for number, line in enumerate(zip(texts, tags, intents, strict=True), start=1)
    ]


def _utterance(text: str, tags: str, intent: str, place: str) -> Utterance:
    words, labels = tuple(text.split()), tags.split()
    if not words or len(words) != len(labels):
        raise DataError(f"{place}: {len(words)} words and {len(labels)} tags")
    if not intent.strip():
        raise DataError(f"{place}: no intent")
    sentence = TaggedSentence(words, bio2(labels, place), (True,) * len(words))
    return Utterance(sentence, intent.strip())
