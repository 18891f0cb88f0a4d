"""The corpora as a recipe uses them: checked before anything is trained, told apart by content."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from app.contract.encoding import Encoder
from app.contract.heads import (
    AnswerHead,
    ClassHead,
    Decoding,
    Head,
    ParseHead,
    ScoreHead,
    SpanHead,
    TagHead,
)
from training.augmentation import augmented
from training.datasets import CORPORA, read_split
from training.datasets.examples import (
    Example,
    LabelledText,
    Question,
    ScoredPair,
    TaggedSentence,
    Utterance,
)
from training.datasets.sentences import choose_pairs, choose_sentences, cut_to_windows
from training.errors import DataError
from training.made_up_questions import make_up_questions
from training.nested_tags import nested_tags_of
from training.recipe import Recipe, Stage, StudentRecipe, TeacherRecipe
from training.reproducibility import fingerprint
from training.sections import CorpusSplit
from training.text_mix import read_mix

logger = logging.getLogger(__name__)
DECODING: Decoding = "viterbi"
"""Of the BIO tags of models that are made now."""
LEFT_OUT = {"sentiment": "neutral"}
"""Task -> a class of some corpora that it does not have: texts of that class are not read."""


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
            DataError: a file is missing or malformed, the labels are of one class, or a split has
                labels that no teacher is trained on.
        """
        head = self.head
        known, stars = {"", *getattr(head, "labels", ())}, {*getattr(head, "rating", ())}
        stages = [stage for student in self.recipe.students.values() for stage in student.stages]
        splits = [split for stage in stages for split in stage.data if split.labels == "gold"]
        for split in (*splits, self.recipe.dev):
            read = self._read(split)
            odd = sorted(labels_of(read) - known) + sorted(stars and ratings_of(read) - stars)
            if odd:
                raise DataError(
                    f"{split.corpus} {split.split}: labels {', '.join(odd)} do not occur in the "
                    "teachers' training data"
                )
        logger.info("dev: %d examples; head: %s", len(self.dev), self.head.kind)

    @cached_property
    def dev(self) -> list[Example]:
        """The development split: measured on, never trained or tuned on."""
        return self._read(self.recipe.dev)

    @cached_property
    def head(self) -> Head:
        """Of every model of the recipe: the labels are those of the teachers' training data.

        Teachers that are fine-tuned already have none: then those of all other data, and no second
        output, which such a model does not have.
        """
        teachers = list(self.recipe.teachers.values())
        if not any(teacher.model for teacher in teachers):
            return new_head(self.recipe.task, self._gold_of(teachers))
        gold = self._gold_of([*teachers, *self.recipe.students.values()])
        return _one_output(new_head(self.recipe.task, [*gold, *self.dev]))

    @cached_property
    def further_dev(self) -> dict[str, list[Example]]:
        """Other splits to measure on, by corpus and split."""
        return {f"{s.corpus} {s.split}": self._read(s) for s in self.recipe.further_dev}

    def labelled(self, stage: Stage) -> list[Example]:
        """The examples of a stage's corpora, as often as it repeats them.

        Those whose labels are the teachers' business come without labels.
        """
        examples: list[Example] = []
        for split in stage.data:
            read = self._read(split)
            if split.labels == "teacher":
                read = [_without_labels(example) for example in read]
            examples += read * split.repeat
        return examples

    def examples(self, stage: Stage, tokenizer: Encoder) -> list[Example]:
        """`labelled`, whole or in pieces, and what only the teacher labels.

        That is raw text, as sentences or, for sts, pairs of them; questions about it; augmented
        utterances.
        """
        examples = self.labelled(stage)
        if stage.long_texts == "pieces":
            texts = [e for e in examples if isinstance(e, LabelledText)]
            examples = [*cut_to_windows(texts, tokenizer)]
            logger.info("%d texts in %d pieces", len(texts), len(examples))
        if stage.augmentation is not None:
            corpora = [self._read(split) for split in stage.data]
            utterances = [[e for e in read if isinstance(e, Utterance)] for read in corpora]
            examples += augmented(utterances, stage.augmentation, seed=self.recipe.seed)
        if stage.unlabelled is not None:
            lines = read_mix(self.data_dir, stage.unlabelled.text)
            count = stage.unlabelled.sentences
            if self.recipe.task == "sts":
                examples += choose_pairs(lines, count=count // 2)
            else:
                examples += choose_sentences(lines, count=count, tokenizer=tokenizer)
        if stage.questions is not None:
            examples += make_up_questions(
                read_mix(self.data_dir, stage.questions.text),
                stage.questions,
                seed=self.recipe.seed,
            )
        return examples

    def digest(self, stages: Sequence[Stage]) -> str:
        """Hash of what some stages train on: other data make other results."""
        shards = [
            (path.name, path.stat().st_size)
            for stage in stages
            for text in stage.raw_texts
            for source in text.sources
            for path in sorted((self.data_dir / text.folder).glob(f"{source}-*"))
        ]
        return fingerprint([shards, [_content(self.labelled(stage)) for stage in stages]])

    @cached_property
    def dev_digest(self) -> str:
        """Hash of the development splits, and of how answers are decoded on them."""
        further = [_content(examples) for examples in self.further_dev.values()]
        content = [_content(self.dev), *further] if further else _content(self.dev)
        decoded = isinstance(self.head, SpanHead | ParseHead)
        return fingerprint([content, DECODING] if decoded else content)

    def _gold_of(self, models: Sequence[TeacherRecipe | StudentRecipe]) -> list[Example]:
        return [e for model in models for stage in model.stages for e in self.labelled(stage)]

    @cached_property
    def _kept(self) -> dict[tuple[str, str], list[Example]]:
        """Splits that were read already."""
        return {}

    def _read(self, split: CorpusSplit) -> list[Example]:
        key = split.corpus, split.split
        if key not in self._kept:
            self._kept[key] = self._read_anew(split)
        return self._kept[key]

    def _read_anew(self, split: CorpusSplit) -> list[Example]:
        kind, left_out = CORPORA[split.corpus].kind, LEFT_OUT.get(self.recipe.task)
        read = read_split(self.data_dir, split.corpus, split.split, kind)
        kept = [e for e in read if not (isinstance(e, LabelledText) and e.label == left_out)]
        if not kept:
            raise DataError(f"{split.corpus} {split.split}: every example is {left_out}")
        return kept


def new_head(task: str, examples: Sequence[Example]) -> Head:
    """The head for a task, with the labels that occur.

    Raises:
        DataError: there are not two labels to tell apart.
    """
    if task == "sts":
        return ScoreHead()
    if task == "qa":
        impossible = any(isinstance(e, Question) and e.is_impossible for e in examples)
        return AnswerHead(can_abstain=impossible)
    if task == "parse":
        return _parse_head([e for e in examples if isinstance(e, Utterance)])
    labels = tuple(sorted(labels_of(examples)))
    if len(labels) < 2:
        raise DataError(f"the teachers' training data have no two labels: {', '.join(labels)}")
    match task:
        case "tagging":
            xpos = {tag for e in examples if isinstance(e, TaggedSentence) for tag in e.xpos or ()}
            return TagHead(labels=labels, xpos=tuple(sorted(xpos)))
        case "ner":
            types = sorted({label[2:] for label in labels if label != "O"})
            bio = (f"{bio}-{name}" for name in types for bio in "BI")
            return SpanHead(labels=("O", *bio), decoding=DECODING)
        case _:
            stars = sorted(ratings_of(examples))
            return ClassHead(labels=labels, rating=tuple(stars) if len(stars) > 1 else ())


def decoded_now(head: Head) -> Head:
    """A head that was made earlier, as it would be made now."""
    if isinstance(head, SpanHead | ParseHead):
        return head.model_copy(update={"decoding": DECODING})
    return head


def _one_output(head: Head) -> Head:
    """A head without its second layer of labels."""
    match head:
        case TagHead():
            return head.model_copy(update={"xpos": ()})
        case ClassHead():
            return head.model_copy(update={"rating": ()})
        case _:
            return head


def _parse_head(utterances: Sequence[Utterance]) -> ParseHead:
    labelled = [nested_tags_of(u) for u in utterances if u.sentence.tags is not None]
    depth = max((len(nested.levels) for nested in labelled), default=0)
    levels = []
    for level in range(depth):
        rows = [nested.levels[level] for nested in labelled if level < len(nested.levels)]
        types = sorted({tag[2:] for row in rows for tag in row if tag != "O"})
        levels.append(("O", *(f"{bio}-{name}" for name in types for bio in "BI")))
    intents = tuple(sorted({nested.intent for nested in labelled}))
    if len(intents) < 2 or not levels:
        raise DataError(f"the teachers' training data have no two intents: {', '.join(intents)}")
    return ParseHead(intents=intents, slots=levels[0], deeper=tuple(levels[1:]), decoding=DECODING)


def labels_of(examples: Sequence[Example]) -> set[str]:
    """The labels that occur: universal tags, BIO tags or classes."""
    found: set[str] = set()
    for example in examples:
        match example:
            case TaggedSentence():
                found.update(example.tags or ())
            case LabelledText():
                found.add(example.label)
            case _:
                pass
    return found


def ratings_of(examples: Sequence[Example]) -> set[str]:
    """The ratings that occur beside classes."""
    return {e.rating for e in examples if isinstance(e, LabelledText) and e.rating}


def _without_labels(example: Example) -> Example:
    match example:
        case TaggedSentence():
            return replace(example, tags=None, xpos=None)
        case LabelledText():
            return replace(example, label="", rating=None)
        case Utterance():
            sentence = replace(example.sentence, tags=None)
            return replace(example, sentence=sentence, intent="", tree=None)
        case ScoredPair():
            return replace(example, score=float("nan"))
        case Question():
            return replace(example, answers=None)
        case _:
            return example


def _content(examples: Sequence[Example]) -> list[object]:
    return [asdict(example) for example in examples]
