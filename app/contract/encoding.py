"""Inputs to named arrays: chooses the encoder that a manifest names."""

from collections.abc import MutableMapping
from pathlib import Path

from app.contract.heads import VectorHead
from app.contract.manifest import ENCODER_FILES, LEXICON, TOKENIZER, Manifest, ProjectionWords
from app.contract.projected_text import ProjectionEncoder
from app.contract.tokenization import SubwordTokenizer

Encoder = SubwordTokenizer | ProjectionEncoder
Encoders = MutableMapping[tuple[str, ...], Encoder]
"""Encoders in use, by what makes them: packages of equal files and settings share one."""


def load_encoder(package: Path, manifest: Manifest, shared: Encoders | None = None) -> Encoder:
    """The encoder of a package, or the one of another that is made of the same.

    Raises:
        PackageError: its files do not fit the manifest.
    """
    if shared is None:
        return _load(package, manifest)
    file = manifest.files.get(ENCODER_FILES[manifest.encoder.kind], "")
    apart = str(isinstance(manifest.head, VectorHead))
    key = (file, manifest.encoder.model_dump_json(), apart)
    found = shared.get(key)
    if found is None:
        found = shared[key] = _load(package, manifest)
    return found


def _load(package: Path, manifest: Manifest) -> Encoder:
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
