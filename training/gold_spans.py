"""Gold tags as spans, and what can be compared with them."""

from collections.abc import Sequence

from training.datasets.examples import PartlyTagged, TaggedSentence
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


def looked_for(spans: Sequence[set[Span]], sentences: Sequence[TaggedSentence]) -> list[set[Span]]:
    """Predicted spans without those of types that a sentence's annotators did not look for."""
    return [
        {s for s in found if s[0] in sentence.types}
        if isinstance(sentence, PartlyTagged)
        else found
        for found, sentence in zip(spans, sentences, strict=True)
    ]
