"""What recipes of tasks and of encoders are made of: sections, corpora, raw text."""

from typing import Annotated, TypeVar

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

Item = TypeVar("Item")


def not_empty(values: tuple[Item, ...]) -> tuple[Item, ...]:
    """Refuse an empty list."""
    # Checked after the items: pydantic's own min_length reports a bad item a second time.
    if not values:
        raise ValueError("at least one is needed")
    return values


def ascending(layers: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse layers out of order."""
    if list(layers) != sorted(set(layers)) or min(layers, default=0) < 0:
        raise ValueError("layers are counted from 0 and must ascend")
    return layers


def mistakes_of(error: ValidationError) -> list[str]:
    """One line for each mistake: where, what."""
    return [
        f"{'.'.join(str(part) for part in mistake['loc']) or 'recipe'}: {mistake['msg']}"
        for mistake in error.errors(include_url=False)
    ]


Share = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
LearningRate = Annotated[float, Field(gt=0, lt=1)]
Layers = Annotated[tuple[int, ...], AfterValidator(not_empty), AfterValidator(ascending)]


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


class UnlabelledText(Section):
    """Sentences of raw text that the teacher labels; for sts, pairs of neighbours."""

    text: RawTextRecipe
    sentences: int = Field(ge=2)


class Augmentation(Section):
    """Utterances made of labelled ones, for the teacher to label (training.augmentation)."""

    copies: int = Field(ge=1, description="of each utterance, fewer where nothing new comes out")
    exchanged: Share = Field(default=0.7, description="share of the slots with another value")
    switched: float = Field(
        default=0.2, ge=0, le=1, description="share of these with a value of any corpus"
    )
    lost: float = Field(default=0.05, ge=0, lt=1, description="share of the other words left out")


class MadeUpQuestions(Section):
    """Spanish questions about raw text, for the teacher to answer (training.made_up_questions)."""

    text: RawTextRecipe
    questions: int = Field(ge=1)
    cloze: float = Field(
        default=0.5, ge=0, le=1, description="share made of a sentence, the others of a template"
    )
