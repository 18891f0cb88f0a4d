import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.toy_training import train
from training.general_distillation import Reading
from training.masked_lm import NOT_MASKED, MaskedBatch
from training.processes import cut_list
from training.word_blocks import WordBlocks

ROOT = Path(__file__).parents[2]


def parts_of(result: Path) -> tuple[dict, list[dict]]:
    state = torch.load(result / "checkpoint.pt", weights_only=True)
    history = json.loads((result / "history.json").read_text(encoding="utf-8"))
    return state["module"], [{k: v for k, v in e.items() if k != "seconds"} for e in history]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    train(folder)
    return folder


def run(folder: Path, *command: str, **environment: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", *command, "tests.training.toy_training", str(folder)],
        cwd=ROOT,
        env={"PATH": "", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def assert_alike(result: Path, expected: Path) -> None:
    (weights, history), (own_weights, own_history) = parts_of(result), parts_of(expected)
    for name, tensor in own_weights.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-5, atol=1e-6)
    assert len(history) == len(own_history)
    for entry, own in zip(history, own_history, strict=True):
        assert entry == pytest.approx(own, rel=1e-4)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path, alone: Path) -> None:
    launch = ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--module")

    assert_alike(run(tmp_path, *launch, MASTER_ADDR="127.0.0.1"), alone)


@pytest.mark.slow
def test_a_batch_in_parts_teaches_what_it_teaches_whole(tmp_path: Path, alone: Path) -> None:
    assert_alike(run(tmp_path, ACCELERATE_GRADIENT_ACCUMULATION_STEPS="5"), alone)


def test_nobody_moves_a_parameter_that_is_not_used(alone: Path) -> None:
    weights, _ = parts_of(alone)

    assert torch.equal(weights["unused"], torch.ones(2, 2))


@given(st.lists(st.integers(), min_size=1), st.integers(1, 9))
def test_parts_of_a_batch_are_all_of_it(batch: list[int], parts: int) -> None:
    found = cut_list(batch, parts)

    assert sorted(item for part, _ in found for item in part) == sorted(batch)
    assert all(part for part, _ in found)
    assert sum(share for _, share in found) == pytest.approx(1)


def test_parts_of_a_masked_batch_keep_their_labels() -> None:
    ids = np.arange(15).reshape(5, 3)

    parts = MaskedBatch(ids, ids + 100).cut(2)

    assert [share for _, share in parts] == [0.6, 0.4]
    assert all((part.labels == part.input_ids + 100).all() for part, _ in parts)
    assert np.array_equal(parts[1][0].input_ids, ids[1::2])


def test_parts_of_a_reading_predict_the_same_tokens() -> None:
    ids = np.arange(1, 16, dtype=np.int32).reshape(5, 3)
    labels = np.where(ids % 2, ids, NOT_MASKED)
    blocks = WordBlocks(ids, np.tile(np.arange(3, dtype=np.int16), (5, 1)))
    reading = Reading(blocks, MaskedBatch(ids.astype(np.int64), labels), pad_id=0)

    parts = reading.cut(2)

    assert [share for _, share in parts] == [0.6, 0.4]
    assert torch.equal(parts[0][0].input_ids, reading.input_ids[::2])
    predicted = [part.labels[part.predicted(restrict_to_masked=True)] for part, _ in parts]
    assert sorted(torch.cat(predicted).tolist()) == list(range(1, 16, 2))
