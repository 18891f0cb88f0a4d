"""Golden examples: recorded at registration, replayed at load.

A package serves only where it means what it meant when it was measured.

Three things are compared: the encoded arrays (exactly), the graph's outputs (within a tolerance,
since kernels differ between processors) and the decoding of the recorded outputs (exactly).
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from app.contract.decoding import Answer, decode
from app.contract.encoded_text import EncodedText, Input, Pair, WindowOutputs
from app.contract.errors import InputError, PackageError
from app.contract.heads import Head, VectorHead
from app.contract.manifest import GOLDEN
from app.contract.pipeline import Package, Runner, check_outputs

DECIMALS = 4
"""Of the recorded outputs; the tolerances are wider."""

SCORE_TOLERANCE = 1e-4
"""Decoded scores come from rounded outputs."""


class Tolerance(BaseModel):
    """How far replayed outputs may lie from the recorded ones.

    Attributes:
        max_abs: the largest single difference.
        mean_abs: the mean difference over an example.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_abs: float
    mean_abs: float


FP32_TOLERANCE = Tolerance(max_abs=2e-3, mean_abs=5e-4)
"""Same arithmetic, other summation order."""

INT8_TOLERANCE = Tolerance(max_abs=2.5, mean_abs=0.25)
"""Integer kernels round, and on processors without VNNI saturate, differently."""

BF16_TOLERANCE = Tolerance(max_abs=0.5, mean_abs=0.05)
"""An engine may run an fp32 graph in bf16, whose numbers have 8 bits instead of 24."""

FP16_TOLERANCE = Tolerance(max_abs=0.1, mean_abs=0.01)
"""A GPU runs the graph that has 11 bits."""

_TOLERANCES = {
    "fp32": (FP32_TOLERANCE, Tolerance(max_abs=1e-3, mean_abs=1e-4)),
    "int8": (INT8_TOLERANCE, Tolerance(max_abs=0.1, mean_abs=0.02)),
    "fp16": (FP16_TOLERANCE, Tolerance(max_abs=5e-3, mean_abs=1e-3)),
    "bf16": (BF16_TOLERANCE, Tolerance(max_abs=0.02, mean_abs=0.004)),
}
"""Of logits, and of vectors of length 1: numbers of theirs are some 0.05 where there are 400."""


def tolerance_of(head: Head, arithmetic: str) -> Tolerance:
    """The tolerance for the outputs of a head in fp32, int8, fp16 or bf16."""
    logits, vectors = _TOLERANCES[arithmetic]
    return vectors if isinstance(head, VectorHead) else logits


class GoldenPair(BaseModel):
    """A pair of texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    first: str
    second: str


class GoldenExample(BaseModel):
    """One recorded example, run alone (batch of one window).

    Attributes:
        input: a text, the words of one, or a pair.
        arrays: per window the graph's inputs by name, without the axis of rows.
        outputs: per window the graph's outputs by name, without the axis of rows.
        answer: decoded from the recorded outputs under default parameters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    input: str | list[str] | GoldenPair
    arrays: list[dict[str, list[JsonValue]]]
    outputs: list[dict[str, list[JsonValue]]]
    answer: JsonValue

    @property
    def contract_input(self) -> Input:
        """As the encoder takes it."""
        given = self.input
        return Pair(given.first, given.second) if isinstance(given, GoldenPair) else given


class Golden(BaseModel):
    """`golden.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tolerance: Tolerance
    examples: list[GoldenExample]


def record(
    package: Package, run: Runner, inputs: Sequence[Input], *, tolerance: Tolerance
) -> Golden:
    """Run `inputs` one by one and record everything the replay compares."""
    examples = []
    for given in inputs:
        encoded = package.encoder.encode([given], long=package.head.long)[0]
        outputs = [_rounded(output) for output in _run_singly(package, run, encoded)]
        examples.append(
            GoldenExample(
                input=_recorded(given),
                arrays=_arrays(package, encoded),
                outputs=[{name: _plain(a) for name, a in output.items()} for output in outputs],
                answer=_json(decode(package.head, encoded, outputs)),
            )
        )
    return Golden(tolerance=tolerance, examples=examples)


def read_golden(package: Path) -> Golden:
    """Read `golden.json`.

    Raises:
        PackageError: unreadable, invalid, or without examples.
    """
    try:
        golden = Golden.model_validate(json.loads((package / GOLDEN).read_bytes()))
    except (OSError, ValueError, ValidationError) as error:
        raise PackageError(f"{GOLDEN} is not readable: {str(error).splitlines()[0]}") from error
    if not golden.examples:
        raise PackageError(f"{GOLDEN} has no examples")
    return golden


def replay(package: Package, run: Runner, *, tolerance: Tolerance | None = None) -> None:
    """Run the recorded examples and compare.

    Args:
        package: with the examples.
        run: its graph.
        tolerance: for the outputs; None for the recorded one.

    Raises:
        PackageError: the first difference found: which example, what, by how much.
    """
    golden = read_golden(package.path)
    for index, example in enumerate(golden.examples):
        difference = _difference(package, run, example, tolerance or golden.tolerance)
        if difference:
            raise PackageError(f"{package.manifest.name}: golden example {index}: {difference}")


def _difference(
    package: Package, run: Runner, example: GoldenExample, tolerance: Tolerance
) -> str | None:
    try:
        encoded = package.encoder.encode([example.contract_input], long=package.head.long)[0]
    except InputError as error:
        return f"its text is refused now ({error})"
    if _arrays(package, encoded) != example.arrays:
        return "the text is encoded to other arrays than recorded"
    outputs = _run_singly(package, run, encoded)
    check_outputs(package.manifest, {n: a.shape[-1] for n, a in outputs[0].items()})
    recorded = [
        {name: np.asarray(values, np.float32) for name, values in window.items()}
        for window in example.outputs
    ]
    if [_shapes(output) for output in outputs] != [_shapes(output) for output in recorded]:
        return "the outputs have another shape than recorded"
    gap = np.concatenate(
        [
            np.abs(now[name] - then[name]).ravel()
            for now, then in zip(outputs, recorded, strict=True)
            for name in now
        ]
    )
    if not np.isfinite(gap).all():
        return "the graph puts out values that are not finite"
    if gap.max() > tolerance.max_abs or gap.mean() > tolerance.mean_abs:
        return (
            f"logits differ by {gap.max():.4g} at most and {gap.mean():.4g} on average; "
            f"allowed are {tolerance.max_abs:g} and {tolerance.mean_abs:g}"
        )
    if not _agree(_json(decode(package.head, encoded, recorded)), example.answer):
        return "the recorded logits decode to another answer than recorded"
    return None


def _recorded(given: Input) -> GoldenPair | str | list[str]:
    match given:
        case Pair():
            return GoldenPair(first=given.first, second=given.second)
        case str():
            return given
    return list(given)


def _run_singly(package: Package, run: Runner, encoded: EncodedText) -> list[WindowOutputs]:
    return [package.run_windows([window], run)[0] for window in encoded.windows]


def _arrays(package: Package, encoded: EncodedText) -> list[dict[str, list[JsonValue]]]:
    return [
        {name: _plain(array[0]) for name, array in package.encoder.collate([window]).items()}
        for window in encoded.windows
    ]


def _rounded(output: WindowOutputs) -> WindowOutputs:
    return {name: np.round(array, DECIMALS) for name, array in output.items()}


def _plain(array: NDArray[np.generic]) -> list[JsonValue]:
    """An array as JSON; without the digits that a float32 does not have."""
    if np.issubdtype(array.dtype, np.floating):
        array = np.round(array.astype(np.float64), DECIMALS)
    plain: list[JsonValue] = array.tolist()
    return plain


def _json(answer: Answer) -> JsonValue:
    value: JsonValue = TypeAdapter(object).dump_python(answer, mode="json")
    return value


def _shapes(output: WindowOutputs) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in output.items()}


def _agree(now: JsonValue, then: JsonValue) -> bool:
    """Whether two answers are equal but for the rounding of their scores."""
    if isinstance(now, dict) and isinstance(then, dict):
        return now.keys() == then.keys() and all(_agree(now[key], then[key]) for key in now)
    if isinstance(now, list) and isinstance(then, list):
        return len(now) == len(then) and all(map(_agree, now, then))
    if isinstance(now, float) and isinstance(then, float | int):
        return abs(now - then) <= SCORE_TOLERANCE
    return now == then
