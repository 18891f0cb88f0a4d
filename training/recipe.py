"""Recipes: YAML in, frozen and checked sections out, in the order of the road.

A recipe of a task names its teachers and students; a recipe of an encoder stands alone
(training.encoder_recipe), so that several tasks can share one. Files that a recipe names (golden
examples, encoders' recipes) are found from its own folder, models as `from_pretrained` finds them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from app.contract.manifest import NAME_PATTERN
from app.contract.projection import MAX_FEATURES
from training.datasets import CORPORA
from training.datasets.examples import Utterance
from training.encoder_recipe import EncoderRecipe
from training.errors import RecipeError
from training.sections import (
    Augmentation,
    CorpusSplit,
    Layers,
    LearningRate,
    MadeUpQuestions,
    Name,
    RawTextRecipe,
    Section,
    Share,
    UnlabelledText,
    not_empty,
)

Pairs = Annotated[
    Literal["together", "apart"],
    Field(description="apart: a bi-encoder, which reads each text by itself (sts)"),
]
INSIDE = ("hidden", "attention", "states")
"""Weights of what is compared inside of the models."""

SHIPPED = Path(__file__).resolve().parent / "recipes"
STEPS = ("encoders", "teachers", "students", "export", "evaluate", "calibrate", "register")
"""Of the road, in order."""


class TrainingSplit(CorpusSplit):
    """Labelled training data.

    `labels: teacher` ignores the corpus's own labels: only the teacher's count (students only).
    """

    repeat: int = Field(default=1, ge=1, description="times it is seen in an epoch")
    labels: Literal["gold", "teacher"] = "gold"


class LossWeights(Section):
    """Weights of the terms of the student's loss; of answers, of start and of end each."""

    soft: float = Field(ge=0, description="KL from the teacher, all real subwords")
    hard: float = Field(ge=0, description="cross-entropy with gold labels, where there are any")
    hidden: float = Field(ge=0, description="1 - cosine of last hidden states")
    attention: float = Field(
        default=0.0, ge=0, description="KL from the attention of matched layers of the teacher"
    )
    states: float = Field(
        default=0.0, ge=0, description="squared error of embeddings and hidden states, likewise"
    )

    @property
    def compares_layers(self) -> bool:
        """Whether layers are matched with the teacher's (training.layer_losses)."""
        return self.attention > 0 or self.states > 0


class Stage(Section):
    """One pass of the optimizer: linear warm-up, linear decay."""

    data: tuple[TrainingSplit, ...] = ()
    long_texts: Literal["cut", "pieces"] = Field(
        default="cut",
        description="what is read of a class's text beyond a window: nothing, as in service, or "
        "each further window as a text of its own",
    )
    unlabelled: UnlabelledText | None = None
    augmentation: Augmentation | None = None
    questions: MadeUpQuestions | None = None
    empty_windows: float = Field(
        default=1.0, ge=0, le=1, description="share of windows without the answer to learn from"
    )
    weights: LossWeights | None = Field(
        default=None, description="of a student, in this stage; its own if not given"
    )
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: LearningRate
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)

    @model_validator(mode="after")
    def _has_data(self) -> "Stage":
        if not (self.data or self.unlabelled or self.questions):
            raise ValueError("a stage needs data, unlabelled text or questions about it")
        if self.augmentation:
            odd = [s.corpus for s in self.data if CORPORA[s.corpus].kind is not Utterance]
            if odd:
                raise ValueError(f"augmentation is of utterances, {odd[0]} has none")
        return self

    @property
    def raw_texts(self) -> list[RawTextRecipe]:
        """What only the teacher labels."""
        return [part.text for part in (self.unlabelled, self.questions) if part]


class TeacherRecipe(Section):
    """Fine-tuning of an encoder, in stages; or a model that somebody has fine-tuned already.

    With `registered` its stages have been walked before: their result is taken from the store.
    """

    encoder: EncoderRecipe | None = None
    model: str | None = Field(
        default=None, description="Hugging Face id or path of a fine-tuned model (training.hub)"
    )
    registered: str | None = Field(
        default=None,
        pattern=f"^{NAME_PATTERN}/{NAME_PATTERN}/[1-9][0-9]*$",
        description="TASK/MODEL/VERSION in the store that the stages have made",
    )
    stored: bool = Field(
        default=True,
        description="whether it becomes a package; without, its students have no cascade",
    )
    description: str
    max_tokens: int = Field(default=128, ge=16, description="longest window")
    stride: int = Field(default=32, ge=0, description="tokens shared by neighbouring windows")
    dropout: float = Field(default=0.1, ge=0, lt=1)
    stages: tuple[Stage, ...] = ()
    pairs: Pairs = "together"

    @property
    def base(self) -> EncoderRecipe:
        """What it starts from, and whose tokenizer it has."""
        return self.encoder or EncoderRecipe(source=self.model)

    @property
    def start(self) -> EncoderRecipe:
        """What training begins with, or what the weights of the store are put into."""
        return self.base.shape if self.registered else self.base

    @property
    def stages_to_walk(self) -> tuple[Stage, ...]:
        """Those that have not been walked before."""
        return () if self.registered else self.stages

    def name_to_students(self, task: str, model: str) -> str | None:
        """TASK/MODEL:VERSION of a model of the store, TASK/MODEL of one that stays out of it."""
        if self.registered:
            return ":".join(self.registered.rsplit("/", 1))
        return None if self.stored else f"{task}/{model}"

    @model_validator(mode="after")
    def _one_start(self) -> "TeacherRecipe":
        if (self.encoder is None) is (self.model is None):
            raise ValueError("give either an encoder with stages or a fine-tuned model")
        if (self.encoder is None) is bool(self.stages):
            raise ValueError("an encoder needs stages, a fine-tuned model has none")
        if self.registered and not self.stored:
            raise ValueError("stored: a model of the store is in the store")
        if self.registered and self.model:
            raise ValueError("registered: a model of the store was made of an encoder and stages")
        return self

    @field_validator("stages")
    @classmethod
    def _needs_gold(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        for stage in stages:
            if (
                stage.raw_texts
                or stage.augmentation
                or stage.weights
                or any(split.labels != "gold" for split in stage.data)
            ):
                raise ValueError("a teacher learns from gold labels only")
        return stages


class NarrowRecipe(Section):
    """A student of its teacher's architecture in other sizes, from random weights."""

    layers: int = Field(ge=1)
    width: int = Field(ge=1, description="of the hidden states, a multiple of heads")
    heads: int = Field(ge=1)
    inner_width: int = Field(ge=1, description="of the feed-forward layers")

    @model_validator(mode="after")
    def _divides(self) -> "NarrowRecipe":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads")
        return self


class PqrnnRecipe(Section):
    """A student without a vocabulary (training.pqrnn), from random weights."""

    features: int = Field(default=1024, ge=64, le=MAX_FEATURES, multiple_of=64)
    case: bool = Field(default=False, description="two features tell capitals")
    bottleneck: int = Field(default=256, ge=8)
    state: int = Field(default=128, ge=8, description="width of each direction of a layer")
    layers: int = Field(default=4, ge=1)
    kernel: int = Field(default=2, ge=1, le=8, description="words that a gate reads")
    pooling: Literal["f", "fo", "ifo"] = "fo"
    zoneout: float = Field(default=0.1, ge=0, lt=1, description="layer l has its l-th power")
    distortion: float = Field(
        default=0.25, ge=0, lt=1, description="share of words with a letter lost, moved or added"
    )
    quantization_aware: bool = Field(
        default=True, description="training sees the 8-bit grids of the served graph"
    )
    lexicon_count: int = Field(
        default=2,
        ge=1,
        description="how often the lexicon's words occur, in scripts without spaces",
    )
    max_tokens: int = Field(default=128, ge=8, le=8192, description="longest window, in words")
    stride: int = Field(default=32, ge=0, description="words shared by neighbouring windows")

    @model_validator(mode="after")
    def _stride_fits(self) -> "PqrnnRecipe":
        if self.stride >= self.max_tokens:
            raise ValueError(f"stride {self.stride} leaves no room in windows of {self.max_tokens}")
        return self


class StudentRecipe(Section):
    """A student of one teacher or of several, distilled in stages.

    It starts from layers of its first teacher, or narrower from random weights, and reads with that
    one's vocabulary, or from an encoder (a MiniALBERT too), whole or some layers of it, and reads
    with the encoder's, or it is a pQRNN and has no vocabulary.
    """

    teachers: Annotated[tuple[Name, ...], AfterValidator(not_empty)]
    description: str
    layers: Layers | None = Field(
        default=None, description="layer of the encoder, or first teacher, behind each layer"
    )
    encoder: EncoderRecipe | None = None
    narrow: NarrowRecipe | None = None
    pairs: Pairs = "together"
    pqrnn: PqrnnRecipe | None = None
    trains: Literal["all", "adapters"] = Field(
        default="all", description="adapters: the encoder, a MiniALBERT, stays as it is"
    )
    temperature: float = Field(gt=0)
    weights: LossWeights
    dropout: float = Field(default=0.1, ge=0, lt=1)
    stages: Annotated[tuple[Stage, ...], AfterValidator(not_empty)]

    @property
    def start(self) -> EncoderRecipe | None:
        """The encoder that training begins with; none where it begins otherwise."""
        return self.encoder

    @model_validator(mode="after")
    def _one_start(self) -> "StudentRecipe":
        if not (self.layers or self.encoder or self.narrow or self.pqrnn):
            raise ValueError(
                "give layers of the first teacher, an encoder, or layers of an encoder, a narrow "
                "body or a pqrnn"
            )
        if self.pqrnn and (self.layers or self.encoder or self.pairs == "apart"):
            raise ValueError("a pqrnn starts from random weights and reads one text")
        if self.narrow and (self.layers or self.encoder or self.pqrnn):
            raise ValueError("a narrow body starts from random weights")
        if self.encoder and self.encoder.is_recursive and self.layers:
            raise ValueError("layers: a MiniALBERT has one, applied several times; leave them out")
        may_have_adapters = self.encoder and (self.encoder.source or self.encoder.is_recursive)
        if self.trains == "adapters" and not may_have_adapters:
            raise ValueError("trains: only an encoder that is a MiniALBERT has adapters to train")
        if self.trains == "adapters" and self.layers:
            raise ValueError("trains: the encoder stays as it is, so it loses no layers")
        return self

    @model_validator(mode="after")
    def _has_no_common_hidden_states(self) -> "StudentRecipe":
        for weights in self.all_weights:
            inside = [name for name in INSIDE if getattr(weights, name)]
            if inside and self.pqrnn:
                raise ValueError(
                    f"weights.{inside[0]}: must be 0, as a pqrnn is of another width and depth"
                )
            if weights.attention and self.dropout:
                raise ValueError(
                    "weights.attention: needs dropout 0, as attention is compared after dropout"
                )
        return self

    @property
    def all_weights(self) -> list[LossWeights]:
        """Of each stage."""
        return [stage.weights or self.weights for stage in self.stages]


class CalibrationRecipe(Section):
    """When a student should ask its teacher: fitted on half of dev, measured on the other half."""

    target: Share = Field(description="label loyalty of the two together to the teacher")


class Recipe(Section):
    """The whole road of one task."""

    name: Name
    task: Literal["tagging", "ner", "sentiment", "sts", "dialect", "parse", "qa"]
    seed: int = Field(ge=0)
    languages: Annotated[tuple[str, ...], AfterValidator(not_empty)]
    licence: str = Field(description="SPDX identifier of the weights, or other")
    data_notes: str = Field(description="for the model card: data, their licences, known limits")
    dev: CorpusSplit
    further_dev: tuple[CorpusSplit, ...] = Field(
        default=(), description="splits that are measured too, each by itself"
    )
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
    chosen: tuple[Name, ...] = Field(default=(), exclude=True)

    def only(self, students: Sequence[str]) -> "Recipe":
        """The recipe with some of its students and their teachers alone.

        Raises:
            RecipeError: it has no such student, or registers none of the models that are left.
        """
        if unknown := [name for name in students if name not in self.students]:
            raise RecipeError(
                f"{self.path}: no student is named {', '.join(unknown)}; "
                f"there are {', '.join(self.students)}"
            )
        left = {name: one for name, one in self.students.items() if name in students}
        taught_by = {teacher for one in left.values() for teacher in one.teachers}
        teachers = {name: one for name, one in self.teachers.items() if name in taught_by}
        models = [*teachers, *left]
        registered = tuple(name for name in self.register_only if name in models)
        if self.register_only and not registered:
            raise RecipeError(f"{self.path}: register_only names none of {', '.join(models)}")
        part = {"teachers": teachers, "students": left, "chosen": tuple(left)}
        part |= {"aliases": {k: name for k, name in self.aliases.items() if name in models}}
        return self.model_copy(update=part | {"register_only": registered})

    def command(self, word: str = "run") -> str:
        """What walks it, or does something else with it, from the project's root."""
        students = f" --students {' '.join(self.chosen)}" if self.chosen else ""
        return f"python -m training {word} training/recipes/{self.file}{students}"

    @property
    def file(self) -> str:
        """Its path from `training/recipes`; its name, if it lies elsewhere."""
        own = self.path.resolve()
        return str(own.relative_to(SHIPPED)) if own.is_relative_to(SHIPPED) else own.name

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
        """The models to register, teachers first; not those of the store or kept out of it."""
        left = {name for name, one in self.teachers.items() if one.registered or not one.stored}
        wanted = self.register_only or self.models
        return [name for name in self.models if name in wanted and name not in left]
