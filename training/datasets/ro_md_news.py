"""News from outlets of Romania and of Moldova, MIT License (articles are the outlets').

https://github.com/AlexTindeche/Romanian-Language-Study_Romania-Moldova; no paper.

Files, under `<data>/ro-md-news/`: ro_md_news.tsv, with a header and the columns label (MD, RO),
outlet, text; quotes mean nothing.
Splits: `train`. The label is the country of the outlet, so topic, period and house style come with
it; names are not masked and diacritics are missing throughout. Weak extra data for `dialect`, never
data to measure on. Sorted by outlet in the file, returned in the order of a hash.
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, one_of, read_tsv
from training.datasets.examples import LabelledText
from training.datasets.splits import shuffle

LABELS = {"MD": "MD", "RO": "RO"}
SPLITS = ("train",)


def read(data_dir: Path, split: str) -> list[LabelledText]:
    """Read `train`, the only split.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "ro-md-news", "ro_md_news.tsv")
    articles = [
        LabelledText(expect(text, str, "text", place), one_of(LABELS, label, place))
        for (label, _, text), place in read_tsv(path, 3, header=True)
    ]
    return shuffle(articles, key=lambda article: article.text)
