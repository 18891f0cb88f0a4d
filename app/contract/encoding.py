"""Inputs to named arrays: chooses the encoder that a manifest names."""

from pathlib import Path

from app.contract.heads import VectorHead
from app.contract.manifest import TOKENIZER, Manifest
from app.contract.tokenization import SubwordTokenizer


def load_encoder(package: Path, manifest: Manifest) -> SubwordTokenizer:
    """The encoder of a package.

    Raises:
        PackageError: its files do not fit the manifest.
    """
    return SubwordTokenizer.from_file(
        package / TOKENIZER,
        max_tokens=manifest.encoder.max_tokens,
        stride=manifest.encoder.stride,
        pad_id=manifest.encoder.pad_id,
        reads_apart=isinstance(manifest.head, VectorHead),
    )
