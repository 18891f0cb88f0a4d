"""Golden examples: recorded at registration, replayed at load.

A package serves only where it means what it meant when it was measured.

Three things are compared: the encoded arrays (exactly), the graph's outputs (within a tolerance,
since kernels differ between processors) and the decoding of the recorded outputs (exactly).
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from app.contract.decoding import decode_tags, entities
from app.contract.errors import InputError, PackageError
from app.contract.manifest import GOLDEN
from app.contract.pipeline import Package, Runner, check_width, run_windows

DECIMALS = 4
"""Of the recorded outputs; the tolerances are wider."""

SCORE_TOLERANCE = 1e-4
"""Decoded scores come from rounded outputs."""


class Tolerance(BaseModel):
    """How far replayed outputs may lie from the recorded ones, in logits.

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


class GoldenEntity(BaseModel):
    """A decoded entity."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    label: str
    score: float
    start: int
    end: int


class GoldenExample(BaseModel):
    """One recorded example, run alone (batch of one text)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str | list[str]
    input_ids: list[list[int]]
    logits: list[list[list[float]]]
    entities: list[GoldenEntity]


class Golden(BaseModel):
    """`golden.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tolerance: Tolerance
    examples: list[GoldenExample]


def record(
    package: Package, run: Runner, texts: Sequence[str | list[str]], *, tolerance: Tolerance
) -> Golden:
    """Run `texts` one by one and record everything the replay compares."""
    examples = []
    for text in texts:
        encoded = package.encoder.encode([text])[0]
        outputs = run_windows(encoded.windows, run, pad_id=package.manifest.encoder.pad_id)
        rounded = [np.round(output, DECIMALS) for output in outputs]
        tags = decode_tags(encoded, rounded, package.manifest.head.labels)
        examples.append(
            GoldenExample(
                text=text,
                input_ids=[window.input_ids.tolist() for window in encoded.windows],
                logits=[[[float(f"{x:.{DECIMALS}f}") for x in row] for row in o] for o in rounded],
                entities=[
                    GoldenEntity(label=e.label, score=round(e.score, 5), start=e.start, end=e.end)
                    for e in entities(encoded, tags)
                ],
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


def replay(package: Package, run: Runner) -> None:
    """Run the recorded examples and compare.

    Raises:
        PackageError: the first difference found: which example, what, by how much.
    """
    golden = read_golden(package.path)
    for index, example in enumerate(golden.examples):
        difference = _difference(package, run, example, golden.tolerance)
        if difference:
            raise PackageError(f"{package.manifest.name}: golden example {index}: {difference}")


def _difference(
    package: Package, run: Runner, example: GoldenExample, tolerance: Tolerance
) -> str | None:
    manifest = package.manifest
    try:
        encoded = package.encoder.encode([example.text])[0]
    except InputError as error:
        return f"its text is refused now ({error})"
    if [window.input_ids.tolist() for window in encoded.windows] != example.input_ids:
        return "the text is encoded to other ids than recorded"
    outputs = run_windows(encoded.windows, run, pad_id=manifest.encoder.pad_id)
    recorded = [np.asarray(window, np.float32) for window in example.logits]
    check_width(manifest, outputs[0].shape[-1])
    if [o.shape for o in outputs] != [r.shape for r in recorded]:
        return "the outputs have another shape than recorded"
    gap = np.concatenate([np.abs(o - r).ravel() for o, r in zip(outputs, recorded, strict=True)])
    if not np.isfinite(gap).all():
        return "the graph puts out values that are not finite"
    if gap.max() > tolerance.max_abs or gap.mean() > tolerance.mean_abs:
        return (
            f"logits differ by {gap.max():.4g} at most and {gap.mean():.4g} on average; "
            f"allowed are {tolerance.max_abs:g} and {tolerance.mean_abs:g}"
        )
    decoded = entities(encoded, decode_tags(encoded, recorded, manifest.head.labels))
    places = [(e.label, e.start, e.end) for e in decoded]
    if places != [(e.label, e.start, e.end) for e in example.entities] or any(
        abs(now.score - then.score) > SCORE_TOLERANCE
        for now, then in zip(decoded, example.entities, strict=True)
    ):
        return "the recorded logits decode to other entities than recorded"
    return None
