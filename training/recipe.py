"""Recipes: YAML in, frozen and checked sections out, in the order of the road.

The golden file is found from the recipe's own folder, models as `from_pretrained` finds them.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from app.contract.manifest import NAME_PATTERN
from training.datasets import CORPORA
from training.datasets.splits import Split
from training.errors import RecipeError

Item = TypeVar("Item")
Part = TypeVar("Part", bound=BaseModel)
STEPS = ("encoder", "teacher", "student", "export", "evaluate", "calibrate", "register")
"""Of the road, in order."""


def _not_empty(values: tuple[Item, ...]) -> tuple[Item, ...]:
    # Checked after the items: pydantic's own min_length reports a bad item a second time.
    if not values:
        raise ValueError("at least one is needed")
    return values


Share = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
LearningRate = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A part of a recipe; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RawTextRecipe(Section):
    """Which raw text, in which mix (training.datasets.raw_text)."""

    folder: str = Field(description="folder of shards under the data directory")
    sources: dict[str, Share] = Field(description="source -> share of its lines", min_length=1)


class PretrainRecipe(Section):
    """A masked-LM encoder under its own vocabulary."""

    base: str = Field(description="BERT whose body is used (training.hub)")
    config: dict[str, bool | int | float | str] = Field(
        default={}, description="changes to its configuration"
    )
    text: RawTextRecipe
    vocabulary_size: int = Field(ge=100, le=250_000)
    lowercase: bool = False
    max_length: int = Field(default=512, ge=16)
    block_length: int = Field(ge=16, description="tokens per training block")
    batch_size: int = Field(ge=1, description="blocks per optimizer step")
    tokens: int = Field(ge=1, description="tokens to train on, repeats counted")
    learning_rate: LearningRate
    mask_share: Share = 0.15
    warmup_share: float = Field(default=0.02, ge=0, lt=1)
    decay_share: Share = 0.25
    evaluate_every: int = Field(default=500, ge=1, description="steps")


class EncoderRecipe(Section):
    """The encoder under the teacher: one that exists, or one pre-trained here."""

    source: str | None = Field(default=None, description="Hugging Face id or path (training.hub)")
    pretrain: PretrainRecipe | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "EncoderRecipe":
        if (self.source is None) is (self.pretrain is None):
            raise ValueError("give either source or pretrain")
        return self

    @property
    def base(self) -> str:
        """The model that everything descends from."""
        return self.pretrain.base if self.pretrain else str(self.source)


class CorpusSplit(Section):
    """A split, or a slice of one, of a labelled corpus."""

    corpus: str
    split: str

    @field_validator("corpus")
    @classmethod
    def _is_known(cls, corpus: str) -> str:
        if corpus not in CORPORA:
            raise ValueError(f"unknown corpus {corpus!r}; known: {', '.join(CORPORA)}")
        return corpus

    @field_validator("split")
    @classmethod
    def _is_a_split(cls, split: str) -> str:
        Split.parse(split)
        return split

    @model_validator(mode="after")
    def _exists(self) -> "CorpusSplit":
        name, known = Split.parse(self.split).name, CORPORA[self.corpus].splits
        if name not in known:
            raise ValueError(f"{self.corpus} has no split {name!r}; it has {', '.join(known)}")
        return self

    def overlaps(self, other: "CorpusSplit") -> bool:
        """Whether the two share examples."""
        a, b = Split.parse(self.split), Split.parse(other.split)
        same = (self.corpus, a.name) == (other.corpus, b.name)
        return same and a.low < b.high and b.low < a.high


class TrainingSplit(CorpusSplit):
    """Labelled training data.

    `labels: teacher` ignores the corpus's own labels: only the teacher's count (students only).
    """

    repeat: int = Field(default=1, ge=1, description="times it is seen in an epoch")
    labels: Literal["gold", "teacher"] = "gold"


class UnlabelledText(Section):
    """Sentences of raw text that the teacher labels."""

    text: RawTextRecipe
    sentences: int = Field(ge=1)


class Stage(Section):
    """One pass of the optimizer: linear warm-up, linear decay."""

    data: tuple[TrainingSplit, ...] = ()
    unlabelled: UnlabelledText | None = None
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: LearningRate
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)

    @model_validator(mode="after")
    def _has_data(self) -> "Stage":
        if not self.data and self.unlabelled is None:
            raise ValueError("a stage needs data or unlabelled text")
        return self


class TeacherRecipe(Section):
    """Fine-tuning of the encoder, in stages."""

    model: Name
    description: str
    max_tokens: int = Field(default=128, ge=16, description="longest window")
    stride: int = Field(default=32, ge=0, description="tokens shared by neighbouring windows")
    dropout: float = Field(default=0.1, ge=0, lt=1)
    stages: Annotated[tuple[Stage, ...], AfterValidator(_not_empty)]

    @field_validator("stages")
    @classmethod
    def _needs_gold(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        for stage in stages:
            if stage.unlabelled or any(split.labels != "gold" for split in stage.data):
                raise ValueError("a teacher learns from gold labels only")
        return stages


class LossWeights(Section):
    """Weights of the three terms of the student's loss."""

    soft: float = Field(ge=0, description="KL from the teacher, all real subwords")
    hard: float = Field(ge=0, description="cross-entropy with gold labels, where there are any")
    hidden: float = Field(ge=0, description="1 - cosine of last hidden states")


class StudentRecipe(Section):
    """A shallower copy of the teacher, distilled in stages."""

    model: Name
    description: str
    layers: Annotated[tuple[int, ...], AfterValidator(_not_empty)] = Field(
        description="teacher layer behind each layer"
    )
    temperature: float = Field(gt=0)
    weights: LossWeights
    dropout: float = Field(default=0.1, ge=0, lt=1)
    stages: Annotated[tuple[Stage, ...], AfterValidator(_not_empty)]

    @field_validator("layers")
    @classmethod
    def _ascend(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if list(layers) != sorted(set(layers)) or layers[0] < 0:
            raise ValueError("layers are counted from 0 and must ascend")
        return layers


class CalibrationRecipe(Section):
    """When a student should ask its teacher: fitted on half of dev, measured on the other half."""

    target: Share = Field(description="label loyalty of the two together to the teacher")


class Recipe(Section):
    """The whole road of one task."""

    name: Name
    task: Literal["ner"]
    seed: int = Field(ge=0)
    languages: Annotated[tuple[str, ...], AfterValidator(_not_empty)]
    licence: str = Field(description="SPDX identifier of the weights, or other")
    data_notes: str = Field(description="for the model card: data, their licences, known limits")
    encoder: EncoderRecipe
    dev: CorpusSplit
    teacher: TeacherRecipe
    student: StudentRecipe
    calibration: CalibrationRecipe | None = None
    golden: str = Field(description="file of sentences, one a line, recorded as golden examples")
    path: Path = Field(default=Path(), exclude=True)

    @property
    def golden_path(self) -> Path:
        """Where the golden sentences lie."""
        return self.path.parent / self.golden


class _Loader(yaml.SafeLoader):
    """YAML that remembers keys given twice instead of letting the last one win."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.mistakes: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                line = key_node.start_mark.line + 1
                self.mistakes.append(f"{key_node.value}: given twice, again in line {line}")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: lists every mistake, one a line.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        content = loader.get_single_data()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a mapping of sections is expected")
    recipe = None
    mistakes = loader.mistakes
    try:
        recipe = Recipe.model_validate(content | {"path": path})
    except ValidationError as error:
        mistakes += [
            f"{'.'.join(str(part) for part in mistake['loc']) or 'recipe'}: {mistake['msg']}"
            for mistake in error.errors(include_url=False)
        ]
    mistakes += _contradictions(content, path)
    if recipe is None or mistakes:
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise RecipeError(f"{path}: {len(mistakes)} mistake(s){lines}")
    return recipe


def _contradictions(content: dict, path: Path) -> list[str]:
    """Mistakes between fields, found in whatever parts of the recipe can be read at all."""
    mistakes = []
    golden = path.parent / str(content.get("golden"))
    if "golden" in content and not (golden.is_file() and golden.read_bytes().strip()):
        mistakes.append(f"golden: {golden} is not there or empty")
    teacher = _read(TeacherRecipe, content.get("teacher"))
    # CLS and SEP belong to a window too.
    if teacher is not None and teacher.stride >= teacher.max_tokens - 2:
        mistakes.append(
            f"teacher.stride: {teacher.stride} leaves no room in windows of {teacher.max_tokens}"
        )
    dev = _read(CorpusSplit, content.get("dev"))
    for part in ("teacher", "student"):
        section = content.get(part)
        stages = section.get("stages") if isinstance(section, dict) else None
        for i, stage in enumerate(stages if isinstance(stages, list) else []):
            data = stage.get("data") if isinstance(stage, dict) else None
            for entry in data if isinstance(data, list) else []:
                split = _read(TrainingSplit, entry)
                if dev is not None and split is not None and split.overlaps(dev):
                    mistakes.append(
                        f"{part}.stages.{i}: trains on {split.corpus} {split.split}, "
                        f"which overlaps dev {dev.split}"
                    )
    return mistakes


def _read(section: type[Part], content: object) -> Part | None:
    """A section if it is valid by itself."""
    try:
        return section.model_validate(content)
    except ValidationError:
        return None
