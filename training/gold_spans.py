"""Gold tags as spans."""

from training.datasets.examples import TaggedSentence
from training.metrics import Span


def gold_spans(sentence: TaggedSentence) -> set[Span]:
    """Gold spans over words: (type, first word, end word)."""
    spans: set[Span] = set()
    start = 0
    tags = [*(sentence.tags or ()), "O"]
    for i, tag in enumerate(tags):
        inside = i > 0 and tags[i - 1] != "O" and tag == f"I-{tags[i - 1][2:]}"
        if not inside:
            if i > 0 and tags[i - 1] != "O":
                spans.add((tags[start][2:], start, i))
            start = i
    return spans


def placed_spans(sentence: TaggedSentence) -> set[Span]:
    """Gold spans in code points of the running text: (type, start, end)."""
    at = sentence.word_spans
    return {(label, at[a][0], at[b - 1][1]) for label, a, b in gold_spans(sentence)}
