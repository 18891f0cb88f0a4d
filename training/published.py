"""What others report for the same tasks, to stand beside our own rows, and how far that is fair."""

from collections.abc import Sequence
from dataclasses import dataclass

SAME = "Comparable: the same test set."


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One model of a published table.

    Attributes:
        model: as the source calls it.
        scores: our name of the measure -> the published value, on a scale of 0 to 1.
        parameters: in millions.
        megabytes: of the published fp32 weights.
    """

    model: str
    scores: dict[str, float]
    parameters: float | None = None
    megabytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """Rows of one source.

    Attributes:
        source: where they stand.
        rows: teachers first.
        tested_on: corpus and split that they were measured on, by our names; None if we have no
            such split.
        why_not: what differs for any split of ours; empty if nothing is known to.
        caveat: what a reader should know even of a fair comparison.
    """

    source: str
    rows: tuple[PublishedRow, ...]
    tested_on: tuple[str, str] | None = None
    why_not: str = ""
    caveat: str = ""

    def verdict(self, corpus: str, split: str) -> str:
        """Whether scores on a split of ours may be held against these rows, and why not.

        >>> PUBLISHED["dialect"][0].verdict("moroco", "test")
        'Comparable: the same test set.'
        """
        reasons = [self.why_not] if self.why_not else []
        if self.tested_on and self.tested_on != (corpus, split):
            there = " ".join(self.tested_on)
            reasons.append(f"theirs is measured on {there}, ours on {corpus} {split}")
        told = f"Not comparable: {'; '.join(reasons)}." if reasons else SAME
        return f"{told} {self.caveat}".rstrip()


AVRAM = "Avram et al. 2022 (arXiv 2112.12650), README and model cards of the authors"
_MODELS = (
    ("bert-base-romanian-cased-v1 (teacher)", 124.4, 477),
    ("RoBERT-base (teacher)", 114, 441),
    ("Distil-BERT-base-ro", 81.3, 312),
    ("Distil-RoBERT-base", 72, 282),
    ("DistilMulti-BERT-base-ro", 81, 312),
)


def _rows(**columns: Sequence[float]) -> tuple[PublishedRow, ...]:
    """The columns of the authors' table, percent, in the order of `_MODELS`."""
    return tuple(
        PublishedRow(
            model=model,
            scores={measure: round(column[i] / 100, 4) for measure, column in columns.items()},
            parameters=parameters,
            megabytes=megabytes,
        )
        for i, (model, parameters, megabytes) in enumerate(_MODELS)
    )


PUBLISHED: dict[str, tuple[PublishedTable, ...]] = {
    "tagging": (
        PublishedTable(
            source=AVRAM,
            rows=_rows(
                upos_accuracy=(98.00, 98.02, 97.97, 97.12, 98.07),
                xpos_accuracy=(96.46, 97.15, 97.08, 95.79, 96.83),
            ),
            why_not="they split RRT at random (75/12.5/12.5) and call the measure macro F1; ours "
            "is token accuracy on a part of the treebank as it is published",
        ),
    ),
    "ner": (
        PublishedTable(
            source=AVRAM,
            rows=_rows(strict_f1=(85.88, 85.14, 83.35, 83.11, 83.22)),
            why_not="the cased teacher's value is the exact-boundary F1 of RONEC v1 in another "
            "table of it (its strict F1 there is 82.54); ours is strict F1 on RONEC v2",
        ),
        PublishedTable(
            source="RONEC v2, evaluate/README of its authors, means of 5 runs",
            rows=(
                PublishedRow(
                    model="bert-base-romanian-cased-v1 (teacher)", scores={"strict_f1": 0.919}
                ),
                PublishedRow(model="Distil-BERT-base-ro", scores={"strict_f1": 0.878}),
            ),
            tested_on=("ronec", "test"),
            caveat="Their teacher's strict F1 is above its exact F1 (.892), which cannot be: read "
            "that row with care.",
        ),
    ),
    "sentiment": (
        PublishedTable(
            source=AVRAM,
            rows=_rows(
                accuracy=(98.07, 98.30, 98.20, 98.01, 98.11),
                rating_macro_f1=(79.61, 79.40, 80.51, 79.58, 79.77),
            ),
            tested_on=("laroseda", "test"),
            caveat="Their notebooks average over batches of 3 and leave out reviews of more than "
            "512 tokens.",
        ),
    ),
    "dialect": (
        PublishedTable(
            source=AVRAM,
            rows=_rows(macro_f1=(95.58, 96.07, 96.31, 96.11, 96.18)),
            tested_on=("moroco", "test"),
        ),
    ),
    "sts": (
        PublishedTable(
            source=AVRAM,
            rows=_rows(pearson=(79.11, 81.18, 80.57, 79.80, 80.66)),
            tested_on=("ro-sts", "test"),
            why_not="they do not state their protocol; ours are cross-encoders",
            caveat="The cased teacher's own card says 0.8030.",
        ),
        PublishedTable(
            source="RO-STS, baseline-models of its authors, means of 10 runs",
            rows=(
                PublishedRow(
                    model="bert-base-romanian-cased-v1 (teacher)",
                    scores={"pearson": 0.7985, "spearman": 0.7897},
                ),
                PublishedRow(
                    model="Distil-BERT-base-ro", scores={"pearson": 0.7253, "spearman": 0.7167}
                ),
            ),
            tested_on=("ro-sts", "test"),
            why_not="theirs are bi-encoders, ours cross-encoders",
        ),
    ),
    "qa": (
        PublishedTable(
            source="Bazaga et al. (arXiv 2312.04193), model cards and two pages about the paper",
            rows=(
                PublishedRow(
                    model="RoBERTa-large, Spanish (teacher)",
                    scores={"f1": 0.875, "exact_match": 0.783},
                    parameters=355,
                ),
                PublishedRow(
                    model="SpanishTinyRoBERTa",
                    scores={"f1": 0.8052, "exact_match": 0.7123},
                    parameters=51,
                ),
            ),
            why_not="theirs is the development part of SQuAD-es v1.1, after training on its 87,595 "
            "questions, and the released script scores the first 200 only",
        ),
    ),
}
