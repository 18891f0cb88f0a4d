"""SART, sentiment of Romanian tweets, CC0 1.0.

Ciobotaru and Dinu 2023, "SART & COVIDSentiRo: Datasets for Sentiment Analysis Applied to Analyzing
COVID-19 Vaccination Perception in Romanian Tweets"; https://github.com/Alegzandra/KES-2023.

Files, under `<data>/sart/`: train.csv, val.csv, test.csv, with a header and the columns index,
text, Label. The repository gives no key; read off the rows, 0 is negative, 1 neutral, 2 positive.
Splits: `train`, `dev`, `test`. Tweets of `train` that repeat a dev tweet (retweets, serial
headlines) are left out (`apart_from`).
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, one_of, read_csv
from training.datasets.examples import LabelledText

FILES = {"train": "train.csv", "dev": "val.csv", "test": "test.csv"}
LABELS = {"0": "negative", "1": "neutral", "2": "positive"}


def read(data_dir: Path, split: str) -> list[LabelledText]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "sart", FILES[split])
    return [
        LabelledText(expect(text, str, "text", place), one_of(LABELS, label, place))
        for (_, text, label), place in read_csv(path, 3, header=True)
    ]
