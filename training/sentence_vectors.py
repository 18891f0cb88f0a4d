"""Multilingual knowledge distillation: an encoder learns the vectors of sentences' translations.

Per batch of parallel sentences (Reimers and Gurevych 2020, section 3):
    L = 1 - cos(P v_s(sentence), v_t(translation)), v = mean of last hidden states over real tokens
The cosine distance is half the squared one at length 1, which the teacher's vectors have. It
leaves the size of hidden states to the encoder, from which fine-tuning goes on. P, where the widths
differ, is dropped afterwards.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoTokenizer

from app.contract.pipeline import predict_outputs
from app.contract.tokenization import SubwordTokenizer
from training import processes
from training.batches import BatchPlan
from training.datasets import read_split
from training.datasets.examples import LabelledText, ParallelSentence, ScoredPair
from training.datasets.splits import apart
from training.encoder_recipe import SentenceRecipe
from training.errors import DataError
from training.hub import resolve_model
from training.loop import LoopSettings, device, fit
from training.losses import hidden_cosine
from training.metrics import pearson
from training.runners import torch_runner
from training.task_model import TaskModel, new_model, vector_head
from training.teacher import load_tokenizer

logger = logging.getLogger(__name__)
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SentenceData:
    """What is learnt, and measured.

    Attributes:
        train: sentences and their translations.
        dev: the same, held out.
        scored: pairs of sentences, held out.
    """

    train: list[ParallelSentence]
    dev: list[ParallelSentence]
    scored: list[ScoredPair]

    @classmethod
    def read(cls, recipe: SentenceRecipe, data_dir: Path) -> "SentenceData":
        """Read the corpora; no training sentence repeats one that is measured on, even nearly.

        Raises:
            DataError: see read_split, or nothing is left to train on.
        """
        dev, scored = recipe.dev, recipe.scored_dev
        held_out = read_split(data_dir, dev.corpus, dev.split, ParallelSentence)
        pairs = read_split(data_dir, scored.corpus, scored.split, ScoredPair)
        measured = [sentence.first for sentence in held_out]
        measured += [text for pair in pairs for text in (pair.first, pair.second)]
        found: dict[str, ParallelSentence] = {}
        for split in recipe.data:
            sentences = read_split(data_dir, split.corpus, split.split, ParallelSentence)
            found |= {sentence.text: sentence for sentence in sentences}
        train = _apart(list(found.values()), measured)
        repeated = len(found) - len(train)
        logger.info("sentences: %d, and %d that dev has too, left out", len(train), repeated)
        if not train:
            raise DataError("every training sentence occurs in the development data")
        return cls(train, held_out, pairs)


def teach_sentences(
    recipe: SentenceRecipe, source: str, *, data_dir: Path, output: Path, seed: int
) -> None:
    """Train the encoder in `source`; resumable.

    Afterwards `output` is a folder that `AutoModel` reads: a trunk without a masked-LM head, whose
    words would not be those of its hidden states any more; tokenizer; and `history.json`.

    Raises:
        DataError: see SentenceData.read.
        StepError: see fit.
    """
    data = SentenceData.read(recipe, data_dir)
    teacher = _model(recipe.teacher, dropout=0.0, seed=seed)
    english = load_tokenizer(recipe.teacher, max_tokens=recipe.max_tokens, stride=0)
    taught, held_out = (
        sentence_vectors(teacher, english, [sentence.second for sentence in part])
        for part in (data.train, data.dev)
    )
    student = _model(source, dropout=recipe.dropout, seed=seed)
    learn_vectors(
        student,
        load_tokenizer(source, max_tokens=recipe.max_tokens, stride=0),
        data,
        (taught, held_out),
        recipe=recipe,
        seed=seed,
        checkpoint=output / "checkpoint.pt",
    )
    if processes.is_main():
        student.trunk.save_pretrained(output)
        AutoTokenizer.from_pretrained(resolve_model(source)).save_pretrained(output)


def learn_vectors(
    student: TaskModel,
    tokenizer: SubwordTokenizer,
    data: SentenceData,
    targets: tuple[Vectors, Vectors],
    *,
    recipe: SentenceRecipe,
    seed: int,
    checkpoint: Path,
) -> list[dict[str, float]]:
    """Train `student` in place.

    Args:
        student: with a head of vectors.
        tokenizer: of the student.
        data: its first sides are read.
        targets: vectors of the translations in data.train and data.dev, shape (sentences, width).
        recipe: length and rates.
        seed: of order, dropout and projection.
        checkpoint: see training.loop.fit.

    Returns:
        The history, after each epoch with `dev_cosine`, the mean cosine to the targets of data.dev,
        and `dev_pearson`, the correlation of cosines with the scores of data.scored.
    """
    encoded = tokenizer.encode([sentence.first for sentence in data.train], long="cut")
    windows = [text.windows[0] for text in encoded]
    lengths = [window.num_tokens for window in windows]
    plan = BatchPlan(lengths, batch_size=recipe.batch_size, seed=seed)
    goal = torch.from_numpy(targets[0]).to(device())
    projection = _projection(student.config.hidden_size, goal.shape[1], seed=seed)

    def losses(chosen: list[int]) -> dict[str, Tensor]:
        arrays = tokenizer.collate([windows[i] for i in chosen])
        inputs = {name: torch.from_numpy(array).to(device()) for name, array in arrays.items()}
        vectors = projection(student(**inputs)["vector"]).float()
        return {"cosine distance": hidden_cosine(vectors, goal[chosen])}

    texts = [sentence.first for sentence in data.dev]
    pairs = [(pair.first, pair.second) for pair in data.scored]
    gold = np.asarray([pair.score for pair in data.scored])

    def evaluate() -> dict[str, float]:
        distinct = list(dict.fromkeys([*texts, *(text for pair in pairs for text in pair)]))
        rows = sentence_vectors(student, tokenizer, distinct)
        of = dict(zip(distinct, rows, strict=True))
        own = projection(torch.from_numpy(np.stack([of[text] for text in texts])).to(device()))
        distance = hidden_cosine(own.float(), torch.from_numpy(targets[1]).to(device()))
        cosines = [of[a] @ of[b] for a, b in pairs]
        return {
            "dev_cosine": 1 - distance.item(),
            "dev_pearson": pearson(np.asarray(cosines), gold).value,
        }

    return fit(
        nn.ModuleDict({"student": student, "projection": projection}),
        LoopSettings(
            total_steps=recipe.epochs * plan.steps_per_epoch,
            learning_rate=recipe.learning_rate,
            warmup_share=recipe.warmup_share,
            decay_share=1 - recipe.warmup_share,
            betas=(0.9, 0.999),
            evaluate_every=plan.steps_per_epoch,
        ),
        batch_at=plan.at,
        losses=losses,
        evaluate=evaluate,
        checkpoint=checkpoint,
        seed=seed,
        title="sentence vectors",
    )


def sentence_vectors(
    model: TaskModel, tokenizer: SubwordTokenizer, texts: Sequence[str]
) -> Vectors:
    """The vectors of texts under a model with a head of vectors, shape (texts, width)."""
    found = predict_outputs(tokenizer, model.head, torch_runner(model.to(device())), texts)
    return np.stack([outputs[0]["vector"] for _, outputs in found])


def _model(source: str, *, dropout: float, seed: int) -> TaskModel:
    return new_model(source, vector_head(source), dropout=dropout, seed=seed)


def _projection(own: int, taught: int, *, seed: int) -> nn.Module:
    """From the student's vectors to those it is taught; nothing where the widths agree."""
    if own == taught:
        return nn.Identity()
    torch.manual_seed(seed)
    return nn.Linear(own, taught, bias=False)


def _apart(train: Sequence[ParallelSentence], measured: Sequence[str]) -> list[ParallelSentence]:
    """The training sentences whose first side repeats no measured text (splits.apart)."""
    first_sides = [LabelledText(sentence.first, "") for sentence in train]
    kept = {text.text for text in apart(first_sides, [LabelledText(t, "") for t in measured])}
    return [sentence for sentence in train if sentence.first in kept]
