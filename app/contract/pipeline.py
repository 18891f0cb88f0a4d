"""One pipeline, several engines: encode, run, decode. Evaluation measures what is served."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.decoding import Answer, decode
from app.contract.encoded_text import Arrays, EncodedText, Input, Window, WindowOutputs
from app.contract.encoding import Encoder, Encoders, load_encoder
from app.contract.errors import PackageError
from app.contract.heads import AnswerHead, Head
from app.contract.manifest import (
    ADAPTERS,
    HALF_MODEL,
    MODEL,
    Manifest,
    read_manifest,
    trunk_path,
    verify_files,
    verify_trunk,
)

Outputs = Mapping[str, NDArray[np.generic]]
Runner = Callable[[Arrays], Outputs]
"""Named arrays to named arrays: a torch model, an fp32 or an int8 session."""


@dataclass(frozen=True, slots=True)
class Package:
    """A verified package: what is needed to turn inputs into arrays and outputs into answers."""

    path: Path
    manifest: Manifest
    encoder: Encoder

    @classmethod
    def load(cls, path: Path, *, encoders: Encoders | None = None) -> "Package":
        """Read and verify a package folder, and the trunk that it names.

        Args:
            path: of the folder.
            encoders: those of other packages, to share.

        Raises:
            PackageError: anything is missing, changed or inconsistent.
        """
        manifest = read_manifest(path)
        verify_files(path, manifest)
        if manifest.trunk:
            verify_trunk(path, manifest)
        return cls(path, manifest, load_encoder(path, manifest, encoders))

    @property
    def model_path(self) -> Path:
        """The ONNX graph; of a package on a trunk the part that comes after it."""
        return self.path / MODEL

    @property
    def half_path(self) -> Path | None:
        """The graph for GPUs, in fp16; None if the package has none."""
        return self.path / HALF_MODEL if HALF_MODEL in self.manifest.files else None

    @property
    def trunk_path(self) -> Path | None:
        """The graph before it, which other packages may share."""
        return trunk_path(self.path, self.manifest) if self.manifest.trunk else None

    @property
    def adapters_path(self) -> Path:
        """What a package on a trunk adds to it."""
        return self.path / ADAPTERS

    @property
    def head(self) -> Head:
        """Of its manifest."""
        return self.manifest.head

    def run_windows(self, windows: Sequence[Window], run: Runner) -> list[WindowOutputs]:
        """See `run_windows`."""
        return run_windows(windows, run, encoder=self.encoder, head=self.head)


def run_windows(
    windows: Sequence[Window], run: Runner, *, encoder: Encoder, head: Head
) -> list[WindowOutputs]:
    """Run one padded batch; windows of a context one by one.

    These are long: a CPU gains nothing by padding them together (`eval.json`: fewer texts/s at 32
    than at 1), and dynamic int8, which scales by the whole batch, would move their answers.

    Returns:
        Per window its outputs by name without padding, float32, shape (length, labels), (length,)
        or (labels,).
    """
    if isinstance(head, AnswerHead) and len(windows) > 1:
        alone = [run_windows([window], run, encoder=encoder, head=head) for window in windows]
        return [outputs for [outputs] in alone]
    outputs = run(encoder.collate(windows))
    arrays = {spec: np.asarray(outputs[spec.name], np.float32) for spec in head.outputs}
    return [
        {
            spec.name: array[row, : window.num_tokens] if spec.per_token else array[row]
            for spec, array in arrays.items()
        }
        for row, window in enumerate(windows)
    ]


def check_outputs(manifest: Manifest, widths: Mapping[str, int | None]) -> None:
    """Refuse a graph that does not put out what the manifest's labels need.

    Args:
        manifest: of the package.
        widths: per output of the graph its last dimension, None if the graph leaves it open.

    Raises:
        PackageError: an output is missing, or its width differs from the label count.
    """
    for output in manifest.head.outputs:
        if output.name not in widths:
            raise PackageError(
                f"{manifest.name}: the graph has no output {output.name!r}, only {sorted(widths)}"
            )
        width = widths[output.name]
        if None not in (width, output.width) and width != output.width:
            raise PackageError(
                f"{manifest.name}: {output.name} has {width} labels, the manifest names "
                f"{output.width}"
            )


def predict_outputs(
    encoder: Encoder,
    head: Head,
    run: Runner,
    inputs: Sequence[Input],
    *,
    batch_size: int = 32,
) -> list[tuple[EncodedText, list[WindowOutputs]]]:
    """Encode inputs as the head's task does by default and run them in batches of similar length.

    Returns:
        Per input, in order: its encoding and the outputs of its windows.
    """
    encoded = encoder.encode(inputs, long=head.long)
    by_length = sorted(distinct_windows(encoded), key=lambda window: window.num_tokens)
    rows: dict[Window, WindowOutputs] = {}
    for start in range(0, len(by_length), batch_size):
        batch = by_length[start : start + batch_size]
        rows |= zip(batch, run_windows(batch, run, encoder=encoder, head=head), strict=True)
    return [(text, [rows[window] for window in text.windows]) for text in encoded]


def distinct_windows(encoded: Sequence[EncodedText]) -> list[Window]:
    """The windows of some inputs, in order; one that several inputs share, once."""
    return list(dict.fromkeys(window for text in encoded for window in text.windows))


def predict(package: Package, run: Runner, inputs: Sequence[Input]) -> list[Answer]:
    """The answers to inputs, as the service gives them with default parameters."""
    return [
        decode(package.head, encoded, outputs)
        for encoded, outputs in predict_outputs(package.encoder, package.head, run, inputs)
    ]
