import json
from pathlib import Path

import numpy as np
import pytest

from app.contract.encoded_text import Arrays
from app.contract.errors import PackageError
from app.contract.golden import replay
from app.contract.manifest import GOLDEN, TOKENIZER
from app.contract.pipeline import Outputs, Package, check_outputs, predict
from tests.tiny_graphs import LABELS, MARGIN, TAGS, VOCABULARY
from tests.tiny_package import build, reseal


def table_run(arrays: Arrays) -> Outputs:
    """What the graph of the tiny package computes."""
    table = np.zeros((len(VOCABULARY), len(LABELS)), np.float32)
    for word, tag in TAGS.items():
        table[VOCABULARY.index(word), LABELS.index(tag)] = MARGIN
    for word in set(VOCABULARY) - TAGS.keys():
        table[VOCABULARY.index(word), 0] = MARGIN
    return {"logits": table[arrays["input_ids"]]}


def test_a_package_predicts_through_any_runner(tmp_path: Path) -> None:
    package = Package.load(build(tmp_path))

    answers = predict(package, table_run, ["Maria Ionescu merge la Iaşi.", "merge la"])

    found = [[(e.label, e.start, e.end) for e in answer] for answer in answers]
    assert found == [[("PERSON", 0, 13), ("GPE", 23, 27)], []]


def test_an_unchanged_package_replays(tmp_path: Path) -> None:
    replay(Package.load(build(tmp_path)), table_run)


def test_other_logits_are_noticed_and_measured(tmp_path: Path) -> None:
    package = Package.load(build(tmp_path))

    def shifted(arrays: Arrays) -> Outputs:
        return {"logits": np.asarray(table_run(arrays)["logits"]) + 0.25}

    with pytest.raises(PackageError, match=r"golden example 0: logits differ by 0.25 at most"):
        replay(package, shifted)


def test_logits_that_are_not_finite_are_noticed(tmp_path: Path) -> None:
    package = Package.load(build(tmp_path))

    def broken(arrays: Arrays) -> Outputs:
        return {"logits": np.asarray(table_run(arrays)["logits"]) * np.nan}

    with pytest.raises(PackageError, match="not finite"):
        replay(package, broken)


def test_another_tokenizer_is_noticed(tmp_path: Path) -> None:
    folder = build(tmp_path)
    content = json.loads((folder / TOKENIZER).read_bytes())
    vocabulary = content["model"]["vocab"]
    vocabulary["merge"], vocabulary["la"] = vocabulary["la"], vocabulary["merge"]
    (folder / TOKENIZER).write_text(json.dumps(content))
    reseal(folder)

    with pytest.raises(PackageError, match="encoded to other arrays than recorded"):
        replay(Package.load(folder), table_run)


def test_another_decoding_is_noticed(tmp_path: Path) -> None:
    folder = build(tmp_path)
    content = json.loads((folder / GOLDEN).read_bytes())
    content["examples"][0]["answer"][0]["end"] -= 1
    (folder / GOLDEN).write_text(json.dumps(content))
    reseal(folder)

    with pytest.raises(PackageError, match="decode to another answer than recorded"):
        replay(Package.load(folder), table_run)


@pytest.mark.parametrize("text", ["", "{", '{"tolerance": {}, "examples": []}'])
def test_an_unreadable_golden_file_is_refused(tmp_path: Path, text: str) -> None:
    folder = build(tmp_path)
    (folder / GOLDEN).write_text(text)
    reseal(folder)

    with pytest.raises(PackageError, match=r"golden\.json is not readable"):
        replay(Package.load(folder), table_run)


def test_a_graph_of_another_width_is_refused(tmp_path: Path) -> None:
    manifest = Package.load(build(tmp_path)).manifest
    check_outputs(manifest, {"logits": len(LABELS)})
    check_outputs(manifest, {"logits": None, "more": 7})

    with pytest.raises(PackageError, match="logits has 4 labels, the manifest names 5"):
        check_outputs(manifest, {"logits": 4})
