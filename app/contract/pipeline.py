"""One pipeline, several engines: encode, run, decode. Evaluation measures what is served."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.decoding import Entity, decode_tags, entities
from app.contract.encoding import Arrays, collate, load_encoder
from app.contract.errors import PackageError
from app.contract.manifest import MODEL, Manifest, read_manifest, verify_files
from app.contract.tokenization import EncodedText, SubwordTokenizer, Text, Window

Outputs = Mapping[str, NDArray[np.generic]]
Runner = Callable[[Arrays], Outputs]
"""Named arrays to named arrays: a torch model, an fp32 or an int8 session."""

LOGITS = "logits"


@dataclass(frozen=True, slots=True)
class Package:
    """A verified package: what is needed to turn texts into arrays and outputs into answers."""

    path: Path
    manifest: Manifest
    encoder: SubwordTokenizer

    @classmethod
    def load(cls, path: Path) -> "Package":
        """Read and verify a package folder.

        Raises:
            PackageError: anything in it is missing, changed or inconsistent.
        """
        manifest = read_manifest(path)
        verify_files(path, manifest)
        return cls(path, manifest, load_encoder(path, manifest))

    @property
    def model_path(self) -> Path:
        """The ONNX graph."""
        return self.path / MODEL


def run_windows(
    windows: Sequence[Window], run: Runner, *, pad_id: int
) -> list[NDArray[np.floating]]:
    """Run one padded batch.

    Returns:
        Per window the logits of its row without padding, shape (length, labels).
    """
    outputs = run(collate(windows, pad_id=pad_id))
    logits = np.asarray(outputs[LOGITS], np.float32)
    return [row[: len(window.input_ids)] for window, row in zip(windows, logits, strict=True)]


def check_width(manifest: Manifest, width: int | None) -> None:
    """Refuse a graph whose last output dimension differs from the label count.

    Args:
        manifest: of the package.
        width: last dimension of the logits; None if the graph leaves it open.

    Raises:
        PackageError: they differ.
    """
    expected = len(manifest.head.labels)
    if width is not None and width != expected:
        raise PackageError(
            f"{manifest.name}: the graph puts out {width} labels, the manifest names {expected}"
        )


def predict_logits(
    encoder: SubwordTokenizer,
    run: Runner,
    texts: Sequence[Text],
    *,
    pad_id: int,
    batch_size: int = 32,
) -> list[tuple[EncodedText, list[NDArray[np.floating]]]]:
    """Encode texts and run them in batches of similar length.

    Returns:
        Per text, in order: its encoding and per window the logits, shape (length, labels).
    """
    encoded = encoder.encode(texts)
    windows = [(i, window) for i, text in enumerate(encoded) for window in text.windows]
    by_length = sorted(range(len(windows)), key=lambda i: len(windows[i][1].input_ids))
    rows: list[NDArray[np.floating] | None] = [None] * len(windows)
    for start in range(0, len(by_length), batch_size):
        chosen = by_length[start : start + batch_size]
        outputs = run_windows([windows[i][1] for i in chosen], run, pad_id=pad_id)
        for i, output in zip(chosen, outputs, strict=True):
            rows[i] = output
    results: list[tuple[EncodedText, list[NDArray[np.floating]]]] = [(e, []) for e in encoded]
    for (index, _), row in zip(windows, rows, strict=True):
        assert row is not None
        results[index][1].append(row)
    return results


def predict(package: Package, run: Runner, texts: Sequence[Text]) -> list[list[Entity]]:
    """The answers to texts, as the service gives them with default parameters."""
    manifest = package.manifest
    labels = manifest.head.labels
    return [
        entities(encoded, decode_tags(encoded, outputs, labels))
        for encoded, outputs in predict_logits(
            package.encoder, run, texts, pad_id=manifest.encoder.pad_id
        )
    ]
