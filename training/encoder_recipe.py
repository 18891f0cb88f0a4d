"""Recipes of encoders: masked words, distillation in two ways, sentence vectors."""

from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from training.datasets import CORPORA
from training.datasets.examples import Example, ParallelSentence, ScoredPair
from training.errors import RecipeError
from training.sections import (
    CorpusSplit,
    Layers,
    LearningRate,
    Name,
    RawTextRecipe,
    Section,
    Share,
    mistakes_of,
)
from training.yaml_file import read_mapping


class MaskedLmRecipe(Section):
    """Training on masked words."""

    text: RawTextRecipe
    block_length: int = Field(ge=16, description="tokens per training block")
    batch_size: int = Field(ge=1, description="blocks per optimizer step")
    tokens: int = Field(ge=1, description="tokens to train on, repeats counted")
    learning_rate: LearningRate
    mask_share: Share = 0.15
    warmup_share: float = Field(default=0.02, ge=0, lt=1)
    decay_share: Share = 0.25
    evaluate_every: int = Field(default=500, ge=1, description="steps")

    @property
    def corpora(self) -> tuple[CorpusSplit, ...]:
        """Labelled corpora whose texts are read."""
        return self.text.corpora


class PretrainRecipe(MaskedLmRecipe):
    """A masked-LM encoder under its own vocabulary."""

    base: str = Field(description="BERT whose body is used (training.hub)")
    start: str | None = Field(
        default=None, description="package, from the project's root: its weights instead of base's"
    )
    config: dict[str, bool | int | float | str] = Field(
        default={}, description="changes to its configuration"
    )
    vocabulary_size: int = Field(ge=100, le=250_000)
    lowercase: bool = False
    max_length: int = Field(default=512, ge=16)

    @property
    def parents(self) -> tuple["EncoderRecipe", ...]:
        """Encoders with recipes that it is made from."""
        return ()


class GeneralWeights(Section):
    """Weights of the three terms of general distillation."""

    soft: float = Field(default=5.0, ge=0, description="KL from the teachers' predictions")
    masked_lm: float = Field(default=2.0, ge=0, description="cross-entropy of the masked tokens")
    hidden: float = Field(default=1.0, ge=0, description="1 - cosine of last hidden states")


class DistilRecipe(MaskedLmRecipe):
    """A shallow copy of an encoder, taught by it and perhaps by a second one."""

    teachers: tuple["EncoderRecipe", ...] = Field(
        min_length=1, max_length=2, description="the student reads with the vocabulary of the first"
    )
    layers: Layers = Field(description="layer of the first teacher behind each layer")
    temperature: float = Field(default=2.0, gt=0)
    weights: GeneralWeights = GeneralWeights()
    restrict_to_masked: bool = Field(
        default=False, description="predictions are compared at masked tokens only"
    )

    @property
    def parents(self) -> tuple["EncoderRecipe", ...]:
        """Encoders that it is made from."""
        return self.teachers


class LayerWeights(Section):
    """Weights of the terms of layer-to-layer distillation, those of the paper by default."""

    masked_lm: float = Field(default=1.0, ge=0, description="cross-entropy of the masked tokens")
    soft: float = Field(default=5.0, ge=0, description="KL from the teacher's predictions of them")
    attention: float = Field(default=3.0, ge=0, description="KL from its attention, row by row")
    hidden: float = Field(default=3.0, ge=0, description="1 - cosine of hidden states, by layer")
    embeddings: float = Field(default=0.0, ge=0, description="1 - cosine of the embeddings")

    @property
    def predict(self) -> bool:
        """Whether words are hidden and predicted."""
        return bool(self.masked_lm or self.soft)


class MiniAlbertRecipe(MaskedLmRecipe):
    """One layer, applied several times, taught layer by layer (training.layer_distillation)."""

    encoder: "EncoderRecipe" = Field(
        description="the teacher, whose vocabulary and width the student has"
    )
    layers: Layers = Field(description="layer of the teacher that each recursion learns from")
    embedding_size: int = Field(default=128, ge=8)
    adapter_size: int = Field(default=24, ge=1, description="width of the bottlenecks")
    temperature: float = Field(default=1.0, gt=0)
    weights: LayerWeights = LayerWeights()

    @property
    def parents(self) -> tuple["EncoderRecipe", ...]:
        """Encoders that it is made from."""
        return (self.encoder,)


def _holds(kind: type[Example]) -> AfterValidator:
    def check(split: CorpusSplit) -> CorpusSplit:
        if CORPORA[split.corpus].kind is not kind:
            raise ValueError(f"{split.corpus} holds no {kind.__name__}")
        return split

    return AfterValidator(check)


Parallel = Annotated[CorpusSplit, _holds(ParallelSentence)]
Scored = Annotated[CorpusSplit, _holds(ScoredPair)]


class SentenceRecipe(Section):
    """An encoder that learns the vectors of translations from a sentence model.

    Of a parallel corpus the encoder reads the first language, the sentence model the second.
    """

    encoder: "EncoderRecipe" = Field(description="to start from")
    teacher: str = Field(description="sentence model, mean of its last hidden states")
    data: tuple[Parallel, ...] = Field(min_length=1)
    dev: Parallel = Field(description="sentences whose vectors are compared with the teacher's")
    scored_dev: Scored = Field(description="pairs whose cosines are compared with their scores")
    max_tokens: int = Field(default=128, ge=16)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: LearningRate
    warmup_share: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _dev_is_apart(self) -> "SentenceRecipe":
        for split in self.data:
            if split.overlaps(self.dev):
                raise ValueError(f"data: {split.corpus} {split.split} overlaps dev")
        return self

    @property
    def tokens(self) -> None:
        """None: a run cannot be prolonged, its epochs tell it from others."""
        return None

    @property
    def corpora(self) -> tuple[CorpusSplit, ...]:
        """Corpora whose texts are read."""
        return self.data

    @property
    def parents(self) -> tuple["EncoderRecipe", ...]:
        """Encoders that it is made from."""
        return (self.encoder,)


EncoderSection = PretrainRecipe | DistilRecipe | SentenceRecipe | MiniAlbertRecipe


class EncoderFile(Section):
    """A recipe of its own: an encoder made here, for whatever tasks."""

    name: Name
    seed: int = Field(ge=0)
    licence: str = Field(description="SPDX identifier of the weights, or other")
    data_notes: str = Field(description="data, their licences, known limits")
    pretrain: PretrainRecipe | None = None
    distil: DistilRecipe | None = None
    sentences: SentenceRecipe | None = None
    minialbert: MiniAlbertRecipe | None = None

    @model_validator(mode="after")
    def _one_start(self) -> "EncoderFile":
        if len(self._sections) != 1:
            raise ValueError(f"give one of {', '.join(sorted(MADE_BY))}")
        return self

    @property
    def _sections(self) -> "list[EncoderSection]":
        given = (self.pretrain, self.distil, self.sentences, self.minialbert)
        return [section for section in given if section is not None]

    @property
    def section(self) -> "EncoderSection":
        """How it is made."""
        return self._sections[0]

    @property
    def base(self) -> str:
        """The model that everything descends from."""
        return self.pretrain.base if self.pretrain else self.section.parents[0].base

    @property
    def corpora(self) -> tuple[CorpusSplit, ...]:
        """Labelled corpora whose texts it, or what it is made from, has read."""
        before = (split for parent in self.section.parents for split in parent.corpora)
        return (*self.section.corpora, *before)


MADE_BY = frozenset({"pretrain", "distil", "sentences", "minialbert"})
"""Sections of which an encoder's recipe has one."""


def _read_encoder(value: object, info: ValidationInfo) -> object:
    """The content of the file that a recipe names."""
    if not isinstance(value, str):
        return value
    context = info.context or {}
    path = Path(context.get("folder", ".")) / value
    opened = context.get("opened", ())
    if path.resolve() in opened:
        raise ValueError(f"{path} descends from itself")
    try:
        content, mistakes = read_mapping(path)
    except RecipeError as error:
        raise ValueError(str(error)) from error
    # Files that it names are found from its own folder.
    context = {"folder": path.parent, "opened": (*opened, path.resolve())}
    try:
        encoder = EncoderFile.model_validate(content, context=context)
    except ValidationError as error:
        mistakes += mistakes_of(error)
    if mistakes:
        raise ValueError(f"{path}: {'; '.join(mistakes)}")
    return encoder


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
    def is_recursive(self) -> bool:
        """Whether its recipe makes a MiniALBERT; of a source nobody knows before it is read."""
        return self.recipe is not None and self.recipe.minialbert is not None

    @property
    def base(self) -> str:
        """The model that everything descends from."""
        return self.recipe.base if self.recipe else str(self.source)

    @property
    def shape(self) -> "EncoderRecipe":
        """One of the same architecture: before it was taught sentences, if it was."""
        sentences = self.recipe and self.recipe.sentences
        return sentences.encoder.shape if sentences else self

    @property
    def corpora(self) -> tuple[CorpusSplit, ...]:
        """Labelled corpora whose texts it, or what taught it, has read."""
        return self.recipe.corpora if self.recipe else ()
