"""Texts to named arrays: chooses the encoder a manifest names and pads windows into batches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.manifest import TOKENIZER, Manifest
from app.contract.tokenization import SubwordTokenizer, Window

Arrays = dict[str, NDArray[np.generic]]


def load_encoder(package: Path, manifest: Manifest) -> SubwordTokenizer:
    """The encoder of a package.

    Raises:
        PackageError: its files do not fit the manifest.
    """
    return SubwordTokenizer.from_file(
        package / TOKENIZER,
        max_tokens=manifest.encoder.max_tokens,
        stride=manifest.encoder.stride,
    )


def collate(windows: Sequence[Window], *, pad_id: int) -> Arrays:
    """Pad windows into one batch.

    Returns:
        `input_ids` and `attention_mask`, int64, shape (len(windows), longest window).
    """
    longest = max(len(window.input_ids) for window in windows)
    input_ids = np.full((len(windows), longest), pad_id, np.int64)
    attention_mask = np.zeros((len(windows), longest), np.int64)
    for row, window in enumerate(windows):
        input_ids[row, : len(window.input_ids)] = window.input_ids
        attention_mask[row, : len(window.input_ids)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}
