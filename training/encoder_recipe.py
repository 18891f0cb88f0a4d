"""Recipes of encoders: pre-trained on masked words, or distilled from encoders that were."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

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


class EncoderFile(Section):
    """A recipe of its own: an encoder made here, for whatever tasks."""

    name: Name
    seed: int = Field(ge=0)
    licence: str = Field(description="SPDX identifier of the weights, or other")
    data_notes: str = Field(description="data, their licences, known limits")
    pretrain: PretrainRecipe | None = None
    distil: DistilRecipe | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "EncoderFile":
        if (self.pretrain is None) is (self.distil is None):
            raise ValueError("give either pretrain or distil")
        return self

    @property
    def section(self) -> PretrainRecipe | DistilRecipe:
        """How it is made."""
        section = self.pretrain or self.distil
        assert section is not None
        return section

    @property
    def teachers(self) -> tuple["EncoderRecipe", ...]:
        """Of a distilled encoder."""
        return self.distil.teachers if self.distil else ()

    @property
    def base(self) -> str:
        """The model that everything descends from."""
        return self.pretrain.base if self.pretrain else self.teachers[0].base

    @property
    def corpora(self) -> tuple[CorpusSplit, ...]:
        """Labelled corpora whose texts it, or what taught it, has read."""
        taught = (split for teacher in self.teachers for split in teacher.corpora)
        return (*self.section.text.corpora, *taught)


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
    def base(self) -> str:
        """The model that everything descends from."""
        return self.recipe.base if self.recipe else str(self.source)

    @property
    def corpora(self) -> tuple[CorpusSplit, ...]:
        """Labelled corpora whose texts it, or what taught it, has read."""
        return self.recipe.corpora if self.recipe else ()
