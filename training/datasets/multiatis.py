"""MultiATIS++, flight requests in nine languages, for users who hold it (LDC2021T04).

Xu, Haider and Mansour 2020, "End-to-End Slot Alignment and Recognition for Cross-Lingual NLU".

Files, under `<data>/multiatis/`: {train,dev,test}_{EN,ES,DE,FR,HI,JA,PT,TR,ZH}.tsv, with a header
and the columns id, utterance, slot_labels, intent; quotes mean nothing.
Splits: `train`, `dev`, `test`. Words are separated by the ASCII space alone, since they may hold
U+00A0. Rows with unequal counts of words and labels exist in the release; they are left out and
counted in the log.
"""

import logging
from pathlib import Path

from training.datasets.bio import bio2
from training.datasets.corpus_files import expect, locate, read_tsv
from training.datasets.examples import TaggedSentence, Utterance

logger = logging.getLogger(__name__)
LANGUAGES = ("en", "es", "de", "fr", "hi", "ja", "pt", "tr", "zh")
SPLITS = ("train", "dev", "test")


def read(data_dir: Path, split: str, *, language: str) -> list[Utterance]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "multiatis", f"{split}_{language.upper()}.tsv")
    utterances: list[Utterance] = []
    unequal = 0
    for (_, text, slots, intent), place in read_tsv(path, 4, header=True):
        words, tags = (tuple(filter(None, column.split(" "))) for column in (text, slots))
        if len(words) != len(tags):
            unequal += 1
            continue
        expect(text, str, "utterance", place)
        sentence = TaggedSentence(words, bio2(tags, place), (True,) * len(words))
        utterances.append(Utterance(sentence, expect(intent.strip(), str, "intent", place)))
    if unequal:
        logger.info("%s: %d rows with unequal counts of words and labels left out", path, unequal)
    return utterances
