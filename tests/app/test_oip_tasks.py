"""What the inputs and answers of each task are as tensors."""

from pathlib import Path

import pytest

from app.contract.heads import ClassHead, ScoreHead
from app.contract.manifest import Manifest, read_manifest
from app.errors import RequestError
from app.oip_tasks import metadata, split_parameters, to_inputs, to_outputs
from app.oip_tensors import Output


@pytest.fixture
def manifest(store: Path) -> Manifest:
    return read_manifest(store / "ner" / "tiny" / "1")


def test_pairs_become_the_objects_of_v1() -> None:
    pairs = to_inputs("sts", {"text": ["a", "b"], "text_pair": ["c", "d"]})
    questions = to_inputs("qa", {"question": ["Cine?"], "context": ["Ion."]})

    assert pairs == [{"text": "a", "text_pair": "c"}, {"text": "b", "text_pair": "d"}]
    assert questions == [{"question": "Cine?", "context": "Ion."}]


@pytest.mark.parametrize(
    ("task", "texts", "reason"),
    [
        ("sts", {"text": ["a"]}, "sts takes the input tensors text and text_pair"),
        ("qa", {"text": ["a"]}, "qa takes the input tensors question and context"),
        ("sts", {"text": ["a", "b"], "text_pair": ["c"]}, "must have the same length"),
        ("sentiment", {"text": ["a"], "text_pair": ["c"]}, "sentiment takes"),
    ],
)
def test_tensors_of_another_task_are_refused(
    task: str, texts: dict[str, list[str]], reason: str
) -> None:
    with pytest.raises(RequestError, match=reason) as error:
        to_inputs(task, texts)

    assert error.value.code == "malformed_body"


def test_labels_become_the_best_one_and_probabilities_in_the_order_of_the_model(
    manifest: Manifest,
) -> None:
    head = ClassHead(labels=("negative", "positive"))
    classes = manifest.model_copy(update={"task": "sentiment", "head": head})
    replies = [
        [{"label": "positive", "score": 0.9}, {"label": "negative", "score": 0.1}],
        [{"label": "negative", "score": 0.6}, {"label": "positive", "score": 0.4}],
    ]

    outputs = to_outputs(classes, replies)

    assert outputs == [
        Output("label", "BYTES", (2,), ["positive", "negative"]),
        Output("score", "FP32", (2,), [0.9, 0.6]),
        Output("probabilities", "FP32", (2, 2), [0.1, 0.9, 0.6, 0.4]),
    ]
    assert [(o.name, o.shape) for o in metadata(classes)[1]] == [
        ("label", [-1]),
        ("score", [-1]),
        ("probabilities", [-1, 2]),
    ]


def test_scores_of_pairs_are_one_tensor(manifest: Manifest) -> None:
    pairs = manifest.model_copy(update={"task": "sts", "head": ScoreHead()})

    assert to_outputs(pairs, [[0.25], [0.75]]) == [Output("score", "FP32", (2,), [0.25, 0.75])]
    assert [o.name for o in metadata(pairs)[0]] == ["text", "text_pair"]


def test_labels_cannot_be_cut_where_probabilities_hold_all() -> None:
    with pytest.raises(RequestError, match="probabilities hold every label"):
        split_parameters("sentiment", {"top_k": 1})

    assert split_parameters("qa", {"top_k": 1, "timeout": 5})[1] == {"top_k": 1}
