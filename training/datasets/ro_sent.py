"""RoSent, Romanian product and film reviews; no licence is stated.

Used by Dumitrescu, Avram and Pyysalo 2020, "The birth of Romanian BERT"; published as one file a
review in https://github.com/katakonst/sentiment-analysis-tensorflow (`datasets/ro`).

Files, under `<data>/ro-sent/`: ro_sent_train.tsv, with a header and the columns label (pos, neg),
file, text; quotes mean nothing.
Splits: `train`, `dev` (carved). Labels are noisy. Hundreds of its reviews are LaRoSeDa's, title and
content joined; those of LaRoSeDa's dev part are left out of `train` (`apart_from`).
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, one_of, read_tsv
from training.datasets.examples import LabelledText
from training.datasets.splits import carve

LABELS = {"neg": "negative", "pos": "positive"}
SPLITS = ("train", "dev")


def read(data_dir: Path, split: str) -> list[LabelledText]:
    """Read one split, in the order of `carve`.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "ro-sent", "ro_sent_train.tsv")
    reviews = [
        LabelledText(expect(text, str, "text", place), one_of(LABELS, label, place))
        for (label, _, text), place in read_tsv(path, 3, header=True)
    ]
    return carve(reviews, split, key=lambda review: review.text)
