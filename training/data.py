"""The corpora as a recipe uses them: checked before anything is trained, told apart by content."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.contract.tokenization import SubwordTokenizer
from training.datasets import read_split
from training.datasets.examples import TaggedSentence
from training.datasets.sentences import read_sentences
from training.errors import DataError
from training.recipe import CorpusSplit, Recipe, Stage
from training.reproducibility import fingerprint
from training.token_batches import label_list

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoadData:
    """What a recipe trains and measures on.

    Attributes:
        recipe: names splits, slices and raw text.
        data_dir: where the corpora lie.
    """

    recipe: Recipe
    data_dir: Path

    def check(self) -> None:
        """Read every labelled split once, before anything is trained.

        Raises:
            DataError: a file is missing or malformed, or has tags the teacher never sees.
        """
        known = {label[2:] for label in self.labels} | {""}
        splits = [split for stage in self.recipe.student.stages for split in stage.data]
        for split in (*splits, self.recipe.dev):
            tags = {tag for s in self._read(split) for tag in s.tags or ()}
            odd = sorted(tag for tag in tags if tag[2:] not in known)
            if odd:
                raise DataError(
                    f"{split.corpus} {split.split}: tags {', '.join(odd)} do not occur in the "
                    "teacher's training data"
                )
        logger.info("dev: %d sentences, %d labels", len(self.dev), len(self.labels))

    @cached_property
    def dev(self) -> list[TaggedSentence]:
        """The development split: measured on, never trained or tuned on."""
        return self._read(self.recipe.dev)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of the teacher's training data."""
        stages = self.recipe.teacher.stages
        return tuple(label_list([s for stage in stages for s in self.tagged(stage)]))

    def tagged(self, stage: Stage) -> list[TaggedSentence]:
        """The sentences of a stage's corpora, as often as it repeats them.

        Those whose labels are the teacher's business come without tags.
        """
        sentences: list[TaggedSentence] = []
        for split in stage.data:
            read = self._read(split)
            if split.labels == "teacher":
                read = [TaggedSentence(s.words, None, s.space_after) for s in read]
            sentences += read * split.repeat
        return sentences

    def sentences(self, stage: Stage, tokenizer: SubwordTokenizer) -> list[TaggedSentence]:
        """`tagged`, and the sentences that a stage takes out of raw text."""
        sentences = self.tagged(stage)
        if stage.unlabelled is not None:
            text = stage.unlabelled.text
            sentences += read_sentences(
                self.data_dir / text.folder,
                text.sources,
                count=stage.unlabelled.sentences,
                tokenizer=tokenizer,
            )
        return sentences

    def digest(self, stages: Sequence[Stage]) -> str:
        """Hash of what some stages train on: other data make other results."""
        shards = [
            (path.name, path.stat().st_size)
            for stage in stages
            if stage.unlabelled
            for source in stage.unlabelled.text.sources
            for path in sorted((self.data_dir / stage.unlabelled.text.folder).glob(f"{source}-*"))
        ]
        tagged = [[(s.words, s.tags) for s in self.tagged(stage)] for stage in stages]
        return fingerprint([shards, tagged])

    def _read(self, split: CorpusSplit) -> list[TaggedSentence]:
        return read_split(self.data_dir, split.corpus, split.split)
