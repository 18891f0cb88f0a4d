"""RTE, recognizing textual entailment; no licence is stated.

Dagan et al. 2006 and the challenges after it, in the form of GLUE (Wang et al. 2018); the files of
https://github.com/amrnag/Specialized-Transformers, which split GLUE's train in two.

Files, under `<data>/rte/`: train.tsv with a header, val.tsv without one: index, sentence, sentence,
entailment or not_entailment; quotes mean nothing.
Splits: `train`, `dev`. GLUE's own dev set serves as test elsewhere and is none of the two.
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, one_of, read_tsv
from training.datasets.examples import LabelledPair

FILES = {"train": "train.tsv", "dev": "val.tsv"}
LABELS = {label: label for label in ("entailment", "not_entailment")}


def read(data_dir: Path, split: str) -> list[LabelledPair]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "rte", FILES[split])
    return [
        LabelledPair(
            expect(first, str, "sentence 1", place),
            expect(second, str, "sentence 2", place),
            one_of(LABELS, label, place),
        )
        for (_, first, second, label), place in read_tsv(path, 4, header=split == "train")
    ]
