"""The manifest: everything the loader and a reader need to know about one package of the store.

A package is a folder `model_store/<task>/<model>/<version>/`; its `manifest.json` names every
other file with its sha256. Nothing in a package is code.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from app.contract.errors import PackageError
from app.contract.heads import HEADS_OF_TASK, Head, NumberHead, Part
from app.contract.projection import MAX_FEATURES

CONTRACT_VERSION = 2
MANIFEST = "manifest.json"
MODEL = "model.onnx"
HALF_MODEL = "model.fp16.onnx"
"""The same model in fp16, for GPUs; a package may have it."""
TOKENIZER = "tokenizer.json"
LEXICON = "lexicon.json"
ENCODER_FILES = {"subword": TOKENIZER, "projection": LEXICON}
"""What an encoder of each kind reads, beside the manifest."""
ADAPTERS = "adapters.onnx"
"""Of a package on a trunk: a graph without inputs that puts the adapters out."""
TRUNKS = "trunks"
"""Folder of the store with the trunks that packages share, `<sha256>.onnx`."""
GOLDEN = "golden.json"
EVALUATION = "eval.json"
CARD = "README.md"
ALIASES = "aliases.json"

Task = Literal["tagging", "ner", "sentiment", "sts", "dialect", "parse", "qa"]
TASKS: tuple[str, ...] = get_args(Task)
NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,63}"
NAME_OF_VERSION = rf"^({'|'.join(TASKS)})/{NAME_PATTERN}:[1-9][0-9]*$"
AUTO = "auto"
CASCADE = "cascade"
RESERVED = frozenset({AUTO, CASCADE})
"""What a request may ask for instead of a model: no model and no alias may be called so."""


class Score(Part):
    """A measured number with its uncertainty.

    Attributes:
        value: the point estimate.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        n: how many items it was measured on.
    """

    value: float
    low: float
    high: float
    n: int


class SubwordEncoder(Part):
    """Text becomes subword ids by the package's `tokenizer.json`.

    Attributes:
        max_tokens: longest window, special tokens included.
        stride: tokens that neighbouring windows of a long text share.
        pad_id: id that fills the shorter rows of a batch.
    """

    kind: Literal["subword"] = "subword"
    max_tokens: int = Field(ge=8, le=8192)
    stride: int = Field(ge=0)
    pad_id: int = Field(ge=0)


class ProjectionWords(Part):
    """Words become hashed features (app.contract.projection).

    Scripts without spaces are cut into words by the package's `lexicon.json`.

    Attributes:
        features: of each word.
        case: whether two of them tell capitals.
        max_tokens: longest window, in words.
        stride: words that neighbouring windows of a long text share.
    """

    kind: Literal["projection"] = "projection"
    features: int = Field(ge=64, le=MAX_FEATURES, multiple_of=64)
    case: bool
    max_tokens: int = Field(ge=8, le=8192)
    stride: int = Field(ge=0)


Encoding = Annotated[SubwordEncoder | ProjectionWords, Field(discriminator="kind")]
READ_PAIRS = ("score", "vector", "answer")
"""Heads whose inputs are pairs; only subwords have a way to tell the two texts apart."""


def _is_share(score: Score) -> Score:
    if not 0 <= score.low <= score.value <= score.high <= 1 or score.n < 1:
        raise ValueError("a share of n >= 1 items with 0 <= low <= value <= high <= 1 is needed")
    return score


Share = Annotated[Score, AfterValidator(_is_share)]


class CalibrationData(Part):
    """What a calibration was fitted and measured on; a hash of each text tells the halves apart.

    Attributes:
        corpus: its name.
        split: of the corpus.
    """

    corpus: str
    split: str


class Calibration(Part):
    """When a student should ask its teacher.

    An answer with less confidence (`app.contract.confidence`) than `threshold` is the teacher's to
    give. Temperature and threshold were fitted on one half of the data; what they lead to was
    measured on the other.

    Attributes:
        temperature: what logits are divided by before they become probabilities.
        threshold: least confidence of an answer that the student gives itself.
        target: label loyalty that the threshold was chosen to reach.
        label_loyalty: of the cascade to its teacher, over decisions (words, classes).
        escalation: share of inputs that the teacher answered.
        teacher: `<task>/<model>:<version>`.
        data: that was fitted and measured on.
    """

    temperature: float = Field(gt=0, allow_inf_nan=False)
    threshold: float = Field(ge=0, le=1)
    target: float = Field(gt=0, le=1)
    label_loyalty: Share
    escalation: Share
    teacher: str = Field(pattern=NAME_OF_VERSION)
    data: CalibrationData


class Manifest(Part):
    """`manifest.json` of one package.

    Attributes:
        contract_version: version of the code in app/contract that the package was made with.
        task: the route that serves it.
        model: its name; says method and domain.
        version: 1, 2, 3 ...; immutable once written.
        description: one sentence for people.
        created: UTC date and time, ISO 8601.
        commit: commit of the code that made it, "-dirty" appended if the tree had changes.
        recipe: file name of the recipe.
        base: the pre-trained model it descends from.
        teacher: `<task>/<model>:<version>` it was distilled from, without the version if that is in
            no store, None for a teacher.
        languages: BCP 47 tags.
        licence: SPDX identifier, or "other", of the weights.
        precision: of the arithmetic at run time.
        weights: of the stored matrices; fp16 and int8 ones of an fp32 model are expanded at load.
        parameters: unique trained parameters of the network that is served.
        opset: ONNX operator set.
        encoder: how text becomes the graph's inputs.
        head: how the graph's outputs become an answer.
        quality: headline scores on the development split.
        loyalty: agreement with the teacher on the same split; empty for a teacher.
        calibration: when to ask the teacher instead; None where nobody has fitted it.
        trunk: sha256 of the trunk that it shares with other packages (app.contract.adapters); None
            for a model of its own.
        files: sha256 of every other file of the package.
    """

    contract_version: int
    task: Task
    model: str = Field(pattern=f"^{NAME_PATTERN}$")
    version: int = Field(ge=1)
    description: str
    created: str
    commit: str
    recipe: str
    base: str
    teacher: str | None
    languages: tuple[str, ...]
    licence: str
    precision: Literal["fp32", "int8"]
    weights: Literal["fp32", "fp16", "int8"]
    parameters: int = Field(ge=1)
    opset: int = Field(ge=1)
    encoder: Encoding
    head: Head
    quality: dict[str, Score]
    loyalty: dict[str, Score]
    calibration: Calibration | None = None
    trunk: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    files: dict[str, str]

    @property
    def name(self) -> str:
        """`<task>/<model>:<version>`."""
        return f"{self.task}/{self.model}:{self.version}"

    @field_validator("model")
    @classmethod
    def _is_free(cls, model: str) -> str:
        return not_reserved(model)

    @field_validator("files")
    @classmethod
    def _stays_inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name, digest in files.items():
            if name != Path(name).name or name.startswith("."):
                raise ValueError(f"file {name!r}: a plain file name inside the package is needed")
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(f"file {name!r}: sha256 must be 64 hexadecimal digits")
        if MODEL not in files or GOLDEN not in files:
            raise ValueError(f"{MODEL} and {GOLDEN} must be listed")
        return files

    @model_validator(mode="after")
    def _calibration_fits(self) -> "Manifest":
        if self.calibration and isinstance(self.head, NumberHead):
            raise ValueError("calibration: a score has no confidence")
        if self.calibration and not self.calibration.teacher.startswith(f"{self.task}/"):
            raise ValueError(f"calibration.teacher: a model of {self.task} is needed")
        return self

    @model_validator(mode="after")
    def _encoder_fits_head(self) -> "Manifest":
        if self.encoder.kind == "projection" and self.head.kind in READ_PAIRS:
            raise ValueError(f"encoder: projected words cannot feed a head of {self.head.kind!r}")
        return self

    @model_validator(mode="after")
    def _head_fits_task(self) -> "Manifest":
        kinds = HEADS_OF_TASK[self.task]
        if self.head.kind not in kinds:
            raise ValueError(
                f"head: {self.task} needs kind {' or '.join(kinds)}, got {self.head.kind}"
            )
        return self


def not_reserved(name: str) -> str:
    """A model's name or an alias, as it was given.

    Raises:
        ValueError: requests mean something else by it.
    """
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is reserved for requests; choose another")
    return name


def read_manifest(package: Path) -> Manifest:
    """Read and check the manifest of a package folder; its files are checked by `verify_files`.

    Raises:
        PackageError: missing, unreadable, made under another contract, or at the wrong place.
    """
    path = package / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise PackageError(f"{package.name}: {MANIFEST} is missing") from error
    except (OSError, ValueError) as error:
        raise PackageError(f"{package.name}: {MANIFEST} is not readable JSON ({error})") from error
    got = content.get("contract_version") if isinstance(content, dict) else None
    if got != CONTRACT_VERSION:
        raise PackageError(
            f"{package.name}: contract_version is {got}, this service reads {CONTRACT_VERSION}; "
            "register the model again with `python -m training register`"
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(str(part) for part in e['loc']) or 'manifest'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        )
        raise PackageError(f"{package.name}: {MANIFEST} is invalid: {details}") from error
    place = f"{package.parent.parent.name}/{package.parent.name}:{package.name}"
    if manifest.name != place:
        raise PackageError(f"{place}: {MANIFEST} says it is {manifest.name}; move or rename it")
    return manifest


def verify_files(package: Path, manifest: Manifest) -> None:
    """Compare every file with its recorded sha256.

    A graph may keep its weights in other files. onnxruntime (1.31) reads any of them that lies in
    the graph's folder, and none outside; hence there must be no file here without a hash.

    Raises:
        PackageError: a file is missing, differs, is a link out of the package, or is not listed.
    """
    odd = sorted({path.name for path in package.iterdir()} - {MANIFEST, *manifest.files})
    if odd:
        raise PackageError(f"{manifest.name}: {odd[0]} is not listed in {MANIFEST}; remove it")
    for name, expected in manifest.files.items():
        path = package / name
        if not path.is_file():
            raise PackageError(f"{manifest.name}: {name} is missing")
        if path.resolve().parent != package.resolve():
            raise PackageError(f"{manifest.name}: {name} links to a place outside the package")
        if sha256(path) != expected:
            raise PackageError(
                f"{manifest.name}: {name} does not match its sha256 in {MANIFEST}; "
                "the file was changed or only partly copied"
            )


def trunk_path(package: Path, manifest: Manifest) -> Path:
    """Where the trunk that a package names lies in its store."""
    return package.parents[2] / TRUNKS / f"{manifest.trunk}.onnx"


def verify_trunk(package: Path, manifest: Manifest) -> None:
    """Refuse a package on a trunk that is not the one it was made on.

    Raises:
        PackageError: the trunk is missing, or another.
    """
    path = trunk_path(package, manifest)
    if ADAPTERS not in manifest.files:
        raise PackageError(f"{manifest.name}: it names a trunk and has no {ADAPTERS}")
    if not path.is_file():
        raise PackageError(f"{manifest.name}: its trunk {TRUNKS}/{path.name} is missing")
    if sha256(path) != manifest.trunk:
        raise PackageError(
            f"{manifest.name}: {TRUNKS}/{path.name} does not match its name, which is its sha256; "
            "the file was changed or only partly copied"
        )


def write_manifest(package: Path, manifest: Manifest) -> None:
    """Write `manifest.json`; the other files must already be there."""
    text = manifest.model_dump_json(indent=2)
    (package / MANIFEST).write_text(text + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
