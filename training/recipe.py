"""Recipes: YAML in, frozen and checked sections out, in the order of the road.

A recipe of a task names its teachers and students; a recipe of an encoder stands alone, so that
several tasks can share one. Files that a recipe names (golden examples, encoders' recipes) are
found from its own folder, models as `from_pretrained` finds them.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.contract.manifest import NAME_PATTERN
from training.datasets import CORPORA
from training.datasets.splits import Split
from training.errors import RecipeError
from training.yaml_file import read_mapping

Item = TypeVar("Item")
STEPS = ("encoders", "teachers", "students", "export", "evaluate", "calibrate", "register")
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


class RawTextRecipe(Section):
    """Which unlabelled text, in which mix (training.text_mix)."""

    folder: str = Field(description="folder of shards under the data directory")
    sources: dict[str, Share] = Field(description="source -> share of its lines", min_length=1)
    corpora: tuple[CorpusSplit, ...] = Field(
        default=(), description="labelled corpora whose texts are read too, without their labels"
    )
    without_diacritics: float = Field(
        default=0.0, ge=0, lt=1, description="share of the lines that lose their diacritics"
    )


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


class EncoderFile(Section):
    """A recipe of its own: an encoder pre-trained here, for whatever tasks."""

    name: Name
    seed: int = Field(ge=0)
    licence: str = Field(description="SPDX identifier of the weights, or other")
    data_notes: str = Field(description="data, their licences, known limits")
    pretrain: PretrainRecipe


def _read_encoder(value: object, info: ValidationInfo) -> object:
    """The content of the file that a recipe names."""
    if not isinstance(value, str):
        return value
    try:
        content, mistakes = read_mapping(Path((info.context or {}).get("folder", ".")) / value)
    except RecipeError as error:
        raise ValueError(str(error)) from error
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return content


class EncoderRecipe(Section):
    """The encoder under a model: one that exists, or one with a recipe."""

    source: str | None = Field(default=None, description="Hugging Face id or path (training.hub)")
    recipe: Annotated[EncoderFile | None, BeforeValidator(_read_encoder)] = Field(
        default=None, description="file of an encoder's recipe, from this recipe's folder"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> "EncoderRecipe":
        if (self.source is None) is (self.recipe is None):
            raise ValueError("give either source or recipe")
        return self

    @property
    def base(self) -> str:
        """The model that everything descends from."""
        return self.recipe.pretrain.base if self.recipe else str(self.source)


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
    """Fine-tuning of an encoder, in stages."""

    encoder: EncoderRecipe
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
    """A student of one teacher or of several, distilled in stages.

    It reads with the vocabulary of its first teacher.
    """

    teachers: Annotated[tuple[Name, ...], AfterValidator(_not_empty)]
    description: str
    layers: Annotated[tuple[int, ...], AfterValidator(_not_empty)] = Field(
        description="layer of the first teacher behind each layer"
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
    task: Literal["tagging", "ner", "sentiment", "sts", "dialect"]
    seed: int = Field(ge=0)
    languages: Annotated[tuple[str, ...], AfterValidator(_not_empty)]
    licence: str = Field(description="SPDX identifier of the weights, or other")
    data_notes: str = Field(description="for the model card: data, their licences, known limits")
    dev: CorpusSplit
    teachers: dict[Name, TeacherRecipe] = Field(min_length=1, description="by their models' names")
    students: dict[Name, StudentRecipe] = Field(min_length=1, description="by their models' names")
    calibration: CalibrationRecipe | None = None
    register_only: tuple[Name, ...] = Field(
        default=(), description="models that become packages; all of them if none is named"
    )
    aliases: dict[Literal["default", "teacher"], Name] = Field(
        default={}, description="model that an alias of the task will name"
    )
    golden: str = Field(description="file of examples, one a line, a pair with a tab between")
    path: Path = Field(default=Path(), exclude=True)

    @property
    def golden_path(self) -> Path:
        """Where the golden examples lie."""
        return self.path.parent / self.golden

    @property
    def models(self) -> dict[str, TeacherRecipe | StudentRecipe]:
        """Teachers, then students."""
        return {**self.teachers, **self.students}

    @property
    def packages(self) -> list[str]:
        """The models to register, teachers first."""
        return [name for name in self.models if name in (self.register_only or self.models)]
