"""What the Open Inference Protocol calls a task's inputs and answers.

A request under /v2 is one under /v1 in other words: its tensors become `inputs`, and the answers
become tensors. Limits, parameters and errors are those of the task.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.contract.heads import ClassHead, NumberHead
from app.contract.manifest import Manifest
from app.errors import Fault, RequestError
from app.inputs import validate
from app.oip_schemas import InferParameters, TensorMetadata
from app.oip_tensors import Output

TEXT = ("text",)
RECTANGULAR = ("sentiment", "dialect")
PAIRS = {"sts": ("text", "text_pair"), "qa": ("question", "context")}


def input_names(task: str) -> tuple[str, ...]:
    """The input tensors of a task, each of shape [N]."""
    return PAIRS.get(task, TEXT)


def metadata(manifest: Manifest) -> tuple[list[TensorMetadata], list[TensorMetadata]]:
    """The input and the output tensors of a model."""
    inputs = [
        TensorMetadata(name=name, datatype="BYTES", shape=[-1])
        for name in input_names(manifest.task)
    ]
    # Classes and ratings differ in number, and a request chooses between them.
    is_open = isinstance(manifest.head, ClassHead) and manifest.head.rating
    outputs = [
        TensorMetadata(
            name=output.name,
            datatype=output.datatype,
            shape=[-1, *(-1 if is_open else width for width in output.shape[1:])],
        )
        for output in to_outputs(manifest, [])
    ]
    return inputs, outputs


def split_parameters(
    task: str, parameters: Mapping[str, object]
) -> tuple[InferParameters, dict[str, object]]:
    """The parameters of a request: those of the protocol, and those of the task under /v1.

    Raises:
        RequestError: one of them has no meaning here.
    """
    if "top_k" in parameters and task in RECTANGULAR:
        detail = f"top_k has no meaning for {task} under /v2: probabilities hold every label"
        raise RequestError(Fault("invalid_parameter", detail, field="parameters.top_k"))
    own = InferParameters.model_fields.keys() & parameters.keys()
    of_task = {name: value for name, value in parameters.items() if name not in own}
    return validate(InferParameters, {name: parameters[name] for name in own}), of_task


def to_inputs(task: str, texts: Mapping[str, Sequence[str]]) -> list[object]:
    """The value of `inputs` under /v1.

    Args:
        task: whose inputs they are.
        texts: tensor -> its elements.

    Raises:
        RequestError: tensors are missing, unknown, or differ in length.
    """
    names = input_names(task)
    if texts.keys() != set(names):
        detail = f"{task} takes the input tensors {' and '.join(names)}, no fewer and no more"
        raise RequestError(Fault("malformed_body", detail, field="inputs"))
    if len({len(texts[name]) for name in names}) > 1:
        detail = f"the input tensors {' and '.join(names)} must have the same length"
        raise RequestError(Fault("malformed_body", detail, field="inputs"))
    if names == TEXT:
        return list(texts["text"])
    rows = zip(*(texts[name] for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def to_outputs(manifest: Manifest, replies: Sequence[Any]) -> list[Output]:
    """The answers to the inputs as tensors.

    Args:
        manifest: of the model that answered.
        replies: those of /v1, one an input; JSON, whose form is that of the task.
    """
    n, head = len(replies), manifest.head
    if isinstance(head, NumberHead):
        return [Output("score", "FP32", (n,), [score for (score,) in replies])]
    if isinstance(head, ClassHead):
        of_label = [{item["label"]: item["score"] for item in reply} for reply in replies]
        is_rated = any(label in head.rating for scores in of_label for label in scores)
        labels = head.rating if is_rated else head.labels
        probabilities = [scores[label] for scores in of_label for label in labels]
        return [
            Output("label", "BYTES", (n,), [reply[0]["label"] for reply in replies]),
            Output("score", "FP32", (n,), [reply[0]["score"] for reply in replies]),
            Output("probabilities", "FP32", (n, len(labels)), probabilities),
        ]
    documents = [orjson.dumps(reply).decode() for reply in replies]
    return [Output("result", "BYTES", (n,), documents)]
