"""Inputs to named arrays: chooses the encoder that a manifest names."""

from pathlib import Path

from app.contract.heads import VectorHead
from app.contract.manifest import LEXICON, TOKENIZER, Manifest, ProjectionWords
from app.contract.projected_text import ProjectionEncoder
from app.contract.tokenization import SubwordTokenizer

Encoder = SubwordTokenizer | ProjectionEncoder


def load_encoder(package: Path, manifest: Manifest) -> Encoder:
    """The encoder of a package.

    Raises:
        PackageError: its files do not fit the manifest.
    """
    encoder = manifest.encoder
    if isinstance(encoder, ProjectionWords):
        return ProjectionEncoder.from_file(
            package / LEXICON,
            features=encoder.features,
            case=encoder.case,
            max_tokens=encoder.max_tokens,
            stride=encoder.stride,
        )
    return SubwordTokenizer.from_file(
        package / TOKENIZER,
        max_tokens=encoder.max_tokens,
        stride=encoder.stride,
        pad_id=encoder.pad_id,
        reads_apart=isinstance(manifest.head, VectorHead),
    )
