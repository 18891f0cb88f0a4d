import json
from pathlib import Path

import pytest

from training.compare import compare, markdown, newest_packages, write_comparison
from training.errors import StepError

STORE = Path(__file__).parents[2] / "model_store"


def test_the_newest_version_of_each_model_is_compared(tmp_path: Path) -> None:
    for version in ("2", "10", ".register-x"):
        (tmp_path / "ner/one" / version).mkdir(parents=True)
        (tmp_path / "ner/one" / version / "manifest.json").touch()

    assert newest_packages(tmp_path) == [tmp_path / "ner/one/10"]


def test_a_task_shows_packages_and_the_other_models_of_their_runs() -> None:
    rows = compare(newest_packages(STORE))["ner"]

    ratios = [row["speed"]["32"]["ratio"] for row in rows.values()]
    assert {"ner/distil-ro:3", "ner/teacher-ro:2"} <= rows.keys()
    assert any(name.endswith("-fp32") for name in rows)
    assert ratios == sorted(ratios)


def test_the_papers_row_stands_below_with_the_reason_why_it_is_another_test() -> None:
    text = markdown(compare(newest_packages(STORE)))

    assert "| Distil-BERT-base-ro | 0.8335 |" in text
    assert "Not comparable: the paper's column" in text


def test_a_comparison_is_written_as_text_data_and_picture(tmp_path: Path) -> None:
    text, data, picture = write_comparison(tmp_path / "out", compare(newest_packages(STORE)))

    assert "ner/distil-ro:3" in text.read_text(encoding="utf-8")
    assert "ner" in json.loads(data.read_text(encoding="utf-8"))
    assert picture.stat().st_size > 1000


def test_a_folder_that_is_no_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=str(tmp_path)):
        compare([tmp_path])
