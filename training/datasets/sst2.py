"""SST-2, sentiment of English film review sentences; no licence is stated.

Socher et al. 2013, "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank";
whole sentences as in https://github.com/clairett/pytorch-sentiment-classification, not GLUE's
67,000 phrases.

Files, under `<data>/sst2/`: train.tsv, dev.tsv, test.tsv: sentence, 0 (negative) or 1 (positive);
lower-cased and tokenized.
Splits: `train`, `dev`, `test`.
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, one_of, read_tsv
from training.datasets.examples import LabelledText

SPLITS = ("train", "dev", "test")
LABELS = {"0": "negative", "1": "positive"}


def read(data_dir: Path, split: str) -> list[LabelledText]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "sst2", f"{split}.tsv")
    return [
        LabelledText(expect(text, str, "sentence", place), one_of(LABELS, label, place))
        for (text, label), place in read_tsv(path, 2)
    ]
