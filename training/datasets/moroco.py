"""MOROCO, Moldavian and Romanian news, CC BY-NC-SA 4.0 (non-commercial).

Butnaru and Ionescu 2019, "MOROCO: The Moldavian and Romanian Dialectal Corpus";
https://github.com/butnaruandrei/MOROCO. Names are masked as `$NE$`.

Two corpora of one layout: `moroco`, the published 21,719 / 5,921 / 5,924 samples, and
`moroco-mrc2019`, the 5,923 evaluation samples of VarDial 2019, split 70/10/20 by a hash of the
text. Scores on the second cannot be compared with published ones.
Files, under `<data>/<corpus>/{train,validation,test}/`:
    samples.txt           id TAB text
    dialect_labels.txt    id TAB 1 (Moldavian) | 2 (Romanian), same ids in the same order
Splits: `train`, `dev` (the folder validation), `test`. Cedilla and comma letters (ş, ș) are mixed
unevenly by dialect, so they must be unified before they are read, as the contract's normalization
does. Samples of `train` that repeat one of dev (serial news) are left out (`apart_from`).
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, one_of, read_tsv
from training.datasets.examples import LabelledText
from training.errors import DataError

FOLDERS = {"train": "train", "dev": "validation", "test": "test"}
LABELS = {"1": "MD", "2": "RO"}


def read(data_dir: Path, split: str, *, corpus: str) -> list[LabelledText]:
    """Read one split, in file order.

    Raises:
        DataError: a file is missing, a row malformed, or samples and labels do not line up.
    """
    folder = data_dir / corpus / FOLDERS[split]
    samples = list(read_tsv(locate(folder, "samples.txt"), 2))
    labels = list(read_tsv(locate(folder, "dialect_labels.txt"), 2))
    if len(samples) != len(labels):
        raise DataError(f"{folder}: {len(samples)} samples and {len(labels)} labels")
    texts = []
    for ((sample, text), place), ((labelled, label), label_place) in zip(
        samples, labels, strict=True
    ):
        if sample != labelled:
            raise DataError(f"{label_place}: label of {labelled!r}, expected that of {sample!r}")
        text = expect(text, str, "text", place)
        texts.append(LabelledText(text, one_of(LABELS, label, label_place)))
    return texts
