"""LaRoSeDa, Romanian product reviews with stars, CC BY-NC-SA 4.0 (non-commercial).

Tache, Gaman and Ionescu 2021, "Clustering Word Embeddings with Self-Organizing Maps. Application on
LaRoSeDa"; https://github.com/ancatache/LaRoSeDa.

Files, under `<data>/laroseda/`: laroseda_train.json, laroseda_test.json
    {"reviews": [{"index", "title", "content", "starRating": "1" | "2" | "4" | "5"}]}
Splits: `train`, `dev` (carved from train by the content, since some reviews occur under several
titles), `test`. The text is the title, a line break and the content; the label is negative (1, 2)
or positive (4, 5), the rating the stars, so one reading serves a head for each.
"""

from pathlib import Path

from training.datasets.corpus_files import field, locate, one_of, read_json
from training.datasets.examples import LabelledText
from training.datasets.splits import carve

FILES = {"train": "laroseda_train.json", "dev": "laroseda_train.json", "test": "laroseda_test.json"}
LABELS = {"1": "negative", "2": "negative", "4": "positive", "5": "positive"}


def read(data_dir: Path, split: str) -> list[LabelledText]:
    """Read one split; `train` and `dev` in the order of `carve`.

    Raises:
        DataError: the file is missing or a review malformed; names file and review.
    """
    path = locate(data_dir / "laroseda", FILES[split])
    reviews = [
        _review(review, f"{path}: review {number}")
        for number, review in enumerate(field(read_json(path), "reviews", list, str(path)))
    ]
    if split == "test":
        return reviews
    return carve(reviews, split, key=lambda review: review.text.partition("\n")[2])


def _review(review: object, place: str) -> LabelledText:
    title = " ".join(field(review, "title", str, place).split())
    content = field(review, "content", str, place)
    stars = field(review, "starRating", str, place)
    return LabelledText(f"{title}\n{content}", one_of(LABELS, stars, place), stars)
