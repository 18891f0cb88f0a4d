"""What the papers report, to be put beside our own rows, and why the two are not the same test."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a paper's table.

    Attributes:
        model: as the paper calls it.
        scores: our name of the measure -> the paper's value, on a scale of 0 to 1.
    """

    model: str
    scores: dict[str, float]


ROMANIAN = "Avram et al. 2022, arXiv 2112.12650, README and model cards of the authors"
_MODELS = (
    "bert-base-romanian-cased-v1 (teacher)",
    "RoBERT-base (teacher)",
    "Distil-BERT-base-ro",
    "Distil-RoBERT-base",
    "DistilMulti-BERT-base-ro",
)


def _rows(**columns: tuple[float, ...]) -> tuple[Published, ...]:
    return tuple(
        Published(
            model, {measure: round(column[i] / 100, 4) for measure, column in columns.items()}
        )
        for i, model in enumerate(_MODELS)
    )


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "tagging": _rows(
        upos_accuracy=(98.00, 98.02, 97.97, 97.12, 98.07),
        xpos_accuracy=(96.46, 97.15, 97.08, 95.79, 96.83),
    ),
    "ner": _rows(strict_f1=(85.88, 85.14, 83.35, 83.11, 83.22)),
    "sentiment": _rows(accuracy=(98.07, 98.30, 98.20, 98.01, 98.11)),
    "dialect": _rows(macro_f1=(95.58, 96.07, 96.31, 96.11, 96.18)),
    "sts": _rows(pearson=(79.11, 81.18, 80.57, 79.80, 80.66)),
}

WHY_NOT_COMPARABLE: dict[str, str] = {
    "tagging": "the paper splits RRT at random (75/12.5/12.5) and names macro F1 as its measure; "
    "ours is token accuracy on the treebank's own development part",
    "ner": "the paper's column equals the exact-boundary F1 of RONEC v1 in another table of its "
    "teacher; ours is strict F1 on part of RONEC v2's validation, trained without v2's 9,000 "
    "training sentences",
    "sentiment": "the paper's test set; ours is a tenth carved from LaRoSeDa's training part",
    "dialect": "the paper trains on MOROCO's 21,719 samples; ours are the 5,923 of VarDial 2019, "
    "split anew",
    "sts": "the paper's test set, its protocol not stated; ours is the development part, read by "
    "cross-encoders",
}
