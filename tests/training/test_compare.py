import json
from pathlib import Path

import pytest

from app.contract.manifest import EVALUATION, MANIFEST
from training.__main__ import main
from training.compare import compare, newest_packages
from training.comparison_report import markdown
from training.errors import StepError
from training.published import PUBLISHED

STORE = Path(__file__).parents[2] / "model_store"


def package(root: Path, *, task: str, model: str, engines: dict, own: str, corpus: str) -> Path:
    """The papers of a package, as registering writes them; there is no graph."""
    folder = root / task / model / "1"
    folder.mkdir(parents=True)
    heads = {
        "sentiment": {"kind": "classes", "labels": ["negative", "positive"]},
        "sts": {"kind": "score"},
    }
    manifest = json.loads(next(STORE.glob(f"ner/*/*/{MANIFEST}")).read_text("utf-8")) | {
        "task": task,
        "model": model,
        "version": 1,
        "teacher": None,
        "weights": "int8" if engines[own]["loyalty"] else "fp16",
        "calibration": None,
        "head": heads[task],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    record = {
        "dataset": {"corpus": corpus, "split": "test", "examples": 100},
        "hardware": "a machine",
        "commit": "abc",
        "compared": engines,
    } | engines[own]
    (folder / EVALUATION).write_text(json.dumps(record), "utf-8")
    return folder


def score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 100}


def engine(*, size: int, ratio: float, quality: dict, loyalty_to: dict) -> dict:
    speed = {"texts_per_second": 10 * ratio, "milliseconds": 1.0, "ratio": ratio}
    return {
        "quality": {name: score(value) for name, value in quality.items()},
        "loyalty": next(iter(loyalty_to.values()), {}),
        "loyalty_to": loyalty_to,
        "bytes": size,
        "parameters": size // 4,
        "speed": {"1": speed, "32": speed},
    }


def two_teachers(quality: dict[str, float], loyalties: list[str]) -> dict:
    """A run of two teachers and a student of both."""
    agree = {name: score(0.9) for name in loyalties}
    both = {"cased": agree, "uncased": {name: score(0.8) for name in loyalties}}
    return {
        "cased-fp32": engine(
            size=80_000_000, ratio=1.0, quality=quality, loyalty_to={"cased": agree}
        ),
        "cased": engine(size=40_000_000, ratio=1.01, quality=quality, loyalty_to={}),
        "uncased": engine(size=39_000_000, ratio=1.02, quality=quality, loyalty_to={}),
        "distil-multi-fp32": engine(size=60_000_000, ratio=2.0, quality=quality, loyalty_to=both),
        "distil-multi": engine(size=15_000_000, ratio=5.0, quality=quality, loyalty_to=both),
    }


def test_the_newest_version_of_each_model_is_compared(tmp_path: Path) -> None:
    for version in ("2", "10", ".register-x"):
        (tmp_path / "ner/one" / version).mkdir(parents=True)
        (tmp_path / "ner/one" / version / "manifest.json").touch()

    assert newest_packages(tmp_path) == [tmp_path / "ner/one/10"]


def test_packages_of_one_run_share_a_table_with_its_other_models(tmp_path: Path) -> None:
    engines = two_teachers({"accuracy": 0.9}, ["label_loyalty"])
    packages = [
        package(
            tmp_path, task="sentiment", model=model, engines=engines, own=own, corpus="laroseda"
        )
        for model, own in (("teacher-ro", "cased"), ("distil-multi", "distil-multi"))
    ]

    (run,) = compare(packages)

    assert [(row.name, row.kind, row.weights) for row in run.rows] == [
        ("teacher-ro-fp32", "teacher", "fp32"),
        ("sentiment/teacher-ro:1", "teacher", "fp16"),
        ("uncased", "teacher", "int8"),
        ("distil-multi-fp32", "student", "fp32"),
        ("sentiment/distil-multi:1", "student", "int8"),
    ]
    assert [set(row.loyalty) for row in run.rows[-2:]] == [
        {"sentiment/teacher-ro:1", "uncased"}
    ] * 2


def test_runs_are_kept_apart(tmp_path: Path) -> None:
    packages = [
        package(
            tmp_path,
            task="sentiment",
            model=model,
            engines={model: engine(size=size, ratio=1.0, quality={"accuracy": 0.9}, loyalty_to={})},
            own=model,
            corpus="laroseda",
        )
        for model, size in (("teacher-a", 8), ("teacher-b", 16))
    ]

    runs = compare(packages)

    assert [[row.name for row in run.rows] for run in runs] == [
        ["sentiment/teacher-a:1"],
        ["sentiment/teacher-b:1"],
    ]


def test_loyalty_is_shown_to_each_teacher(tmp_path: Path) -> None:
    engines = two_teachers({"accuracy": 0.9}, ["label_loyalty", "probability_loyalty_base2"])
    folder = package(
        tmp_path,
        task="sentiment",
        model="distil-multi",
        engines=engines,
        own="distil-multi",
        corpus="laroseda",
    )

    text = markdown(compare([folder]))

    assert "| model | loyal to | label_loyalty | probability_loyalty_base2 |" in text
    nine, eight = "0.9000 (0.8900 to 0.9100; 100)", "0.8000 (0.7900 to 0.8100; 100)"
    assert f"| sentiment/distil-multi:1 | cased | {nine} | {nine} |" in text
    assert f"| sentiment/distil-multi:1 | uncased | {eight} | {eight} |" in text


def test_speed_is_told_against_the_first_teacher_of_the_same_run(tmp_path: Path) -> None:
    engines = two_teachers({"accuracy": 0.9}, ["label_loyalty"])
    folder = package(
        tmp_path,
        task="sentiment",
        model="distil-multi",
        engines=engines,
        own="distil-multi",
        corpus="laroseda",
    )

    lines = markdown(compare([folder])).splitlines()

    row = next(line for line in lines if line.startswith("| sentiment/distil-multi:1 | int8 "))
    assert row.endswith("| 3.8 M | 15.0 | 50 (5.00x) | 50 (5.00x) |")


def test_published_rows_stand_below_with_the_reason_why_theirs_is_another_test() -> None:
    text = markdown(compare(newest_packages(STORE)))

    assert "| *Distil-BERT-base-ro* | fp32 | *0.8335* |" in text
    assert "Not comparable: the cased teacher's value is the exact-boundary F1" in text


@pytest.mark.parametrize(
    ("task", "dataset", "verdict"),
    [
        ("sentiment", ("laroseda", "test"), "Comparable: the same test set."),
        ("sentiment", ("laroseda", "dev"), "measured on laroseda test, ours on laroseda dev"),
        ("dialect", ("moroco-mrc2019", "dev"), "Not comparable"),
        ("tagging", ("ro-rrt", "test"), "they split RRT at random"),
        ("sts", ("ro-sts", "test"), "they do not state their protocol"),
    ],
)
def test_what_is_comparable_depends_on_what_was_measured_on(
    task: str, dataset: tuple[str, str], verdict: str
) -> None:
    assert verdict in PUBLISHED[task][0].verdict(*dataset)


def test_a_comparison_is_written_as_text_data_and_pictures(tmp_path: Path) -> None:
    engines = two_teachers(
        {"pearson": 0.9, "spearman": 0.8}, ["regression_loyalty_pearson", "regression_loyalty"]
    )
    folder = package(
        tmp_path, task="sts", model="cased", engines=engines, own="cased", corpus="ro-sts"
    )
    output = tmp_path / "out"

    packages = [str(path) for path in (folder, *newest_packages(STORE))]
    assert main(["compare", *packages, "--output", str(output)]) == 0

    assert {path.name for path in output.iterdir()} == {
        "report.md",
        "report.json",
        "loyalty-against-speed.png",
        "size-against-score.png",
    }
    content = json.loads((output / "report.json").read_text("utf-8"))
    assert {"ner", "sts"} <= {run["task"] for run in content["runs"]}
    assert {"ner", "sts"} <= content["published"].keys()
    for picture in output.glob("*.png"):
        assert picture.name in (output / "report.md").read_text("utf-8")
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_no_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=str(tmp_path)):
        compare([tmp_path])


def test_an_empty_store_is_an_error(tmp_path: Path) -> None:
    assert main(["compare", "--store", str(tmp_path)]) == 1
