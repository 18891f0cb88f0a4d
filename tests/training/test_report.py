"""What a report says of splits that are measured besides the headline's."""

from training.report import further_tables


def score(value: float, n: int = 10) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def engine(headline: float, **further: float) -> dict[str, object]:
    """Scores of one model; its second measure is that of the headline split alone."""
    return {
        "quality": {"exact_match": score(headline), "slot_f1": score(headline)},
        "further": {split: {"exact_match": score(value)} for split, value in further.items()},
    }


def test_each_split_has_a_row_a_model_and_students_what_they_keep_of_it() -> None:
    engines = {"teacher": engine(0.9, es=0.8, th=0.5), "student": engine(0.8, es=0.6, th=0.5)}

    table, kept = further_tables(engines, {"student": "teacher"})

    assert table.splitlines()[0] == (
        "| split | model | exact_match (95 % interval) | slot_f1 (95 % interval) | n |"
    )
    assert table.splitlines()[2:] == [
        "| es | teacher | 0.8000 (0.7000 to 0.9000) |  | 10 |",
        "| es | student | 0.6000 (0.5000 to 0.7000) |  | 10 |",
        "| th | teacher | 0.5000 (0.4000 to 0.6000) |  | 10 |",
        "| th | student | 0.5000 (0.4000 to 0.6000) |  | 10 |",
    ]
    # 0.6 of 0.8, and 0.5 of 0.5.
    assert kept == (
        "- `student` keeps 75.0, 100.0 % of exact_match of `teacher` on these splits in turn, "
        "87.5 % in the mean."
    )


def test_without_such_splits_there_is_no_table() -> None:
    engines = {"teacher": {"quality": {"exact_match": score(0.9)}}}

    assert further_tables(engines, {}) == []
