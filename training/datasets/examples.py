"""What the readers return."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """A sentence with one tag a word.

    Attributes:
        words: non-empty strings.
        tags: one a word, or None where nobody has labelled the sentence.
        space_after: whether a space followed the word in the running text.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    space_after: tuple[bool, ...]

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
