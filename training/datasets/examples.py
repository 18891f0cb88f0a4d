"""What the readers return; `text` is what tells examples apart when splits are made."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """A sentence with one tag a word.

    Attributes:
        words: non-empty strings.
        tags: one a word (BIO2, or universal part of speech), or None where nobody has labelled
            the sentence.
        space_after: whether a space followed the word in the running text.
        xpos: language-specific part of speech of each word, where the corpus has it.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    space_after: tuple[bool, ...]
    xpos: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """The running text."""
        return "".join(
            word + (" " if space else "")
            for word, space in zip(self.words, self.space_after, strict=True)
        ).rstrip()

    @property
    def word_spans(self) -> list[tuple[int, int]]:
        """[start, end) of each word in `text`, in code points."""
        spans, start = [], 0
        for word, space in zip(self.words, self.space_after, strict=True):
            spans.append((start, start + len(word)))
            start += len(word) + space
        return spans


@dataclass(frozen=True, slots=True)
class PartlyTagged(TaggedSentence):
    """A sentence whose annotators looked for some types of entity only.

    Attributes:
        types: what they looked for; a word that is `O` may be of any other type.
    """

    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and its class.

    Attributes:
        text: as published; diacritics and Unicode forms are the tokenizer's business.
        label: of the text.
        rating: a finer label of the same text (stars), where the corpus has one.
    """

    text: str
    label: str
    rating: str | None = None


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two texts and the class of their relation."""

    first: str
    second: str
    label: str

    @property
    def text(self) -> str:
        """Both texts, one a line."""
        return f"{self.first}\n{self.second}"


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two texts and how alike they mean, in the corpus's own range."""

    first: str
    second: str
    score: float

    @property
    def text(self) -> str:
        """Both texts, one a line."""
        return f"{self.first}\n{self.second}"


@dataclass(frozen=True, slots=True)
class ParallelSentence:
    """The same sentence in two languages."""

    first: str
    second: str

    @property
    def text(self) -> str:
        """Both texts, one a line."""
        return f"{self.first}\n{self.second}"


@dataclass(frozen=True, slots=True)
class Utterance:
    """What somebody asks of an assistant.

    Attributes:
        sentence: its words, the tags are slots in BIO2.
        intent: as the corpus names it.
        tree: the gold parse in MTOP's decoupled form (training.parse_trees), where the corpus has
            one. Slots that are nested in it are missing from the tags.
    """

    sentence: TaggedSentence
    intent: str
    tree: str | None = None

    @property
    def text(self) -> str:
        """The running text."""
        return self.sentence.text

    @property
    def is_nested(self) -> bool:
        """Whether a slot holds an intent, so that tags cannot say all of it."""
        return self.tree is not None and self.tree.count("[IN:") > 1


@dataclass(frozen=True, slots=True)
class GoldAnswer:
    """A right answer: `context[start : start + len(text)] == text`, in code points."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a context.

    Attributes:
        id: as the corpus names it.
        question: not empty.
        context: not empty.
        answers: what annotators marked, each of them right; nothing if the context does not say;
            None where nobody has answered.
    """

    id: str
    question: str
    context: str
    answers: tuple[GoldAnswer, ...] | None

    @property
    def is_impossible(self) -> bool:
        """Whether the context has no answer."""
        return self.answers == ()

    @property
    def text(self) -> str:
        """The question, then its context."""
        return f"{self.question}\n{self.context}"


Example = (
    TaggedSentence
    | LabelledText
    | LabelledPair
    | ScoredPair
    | ParallelSentence
    | Utterance
    | Question
)
