"""Scores of parses against gold utterances."""

from collections.abc import Sequence

from app.contract.decoding import Parse
from app.contract.manifest import Score
from training.datasets.examples import Utterance
from training.gold_spans import placed_spans
from training.metrics import Span, accuracy, strict_f1
from training.parse_metrics import frame_exact_match, tree_exact_match


def parse_scores(parses: Sequence[Parse], utterances: Sequence[Utterance]) -> dict[str, Score]:
    """Exact match (of trees where the corpus has them), of flat utterances, intents, slots.

    Args:
        parses: of the running text.
        utterances: gold.
    """
    pairs = list(zip(parses, utterances, strict=True))
    flat = [(parse, utterance) for parse, utterance in pairs if not utterance.is_nested]
    scores = {
        "exact_match": _exact_match(pairs),
        "intent_accuracy": accuracy(
            [parse.intent.label for parse in parses], [u.intent for u in utterances]
        ),
        "slot_f1": strict_f1(_found(parses), [placed_spans(u.sentence) for u in utterances]),
    }
    return scores | ({"exact_match_flat": _exact_match(flat)} if len(flat) < len(pairs) else {})


def slot_scores(parses: Sequence[Parse], utterances: Sequence[Utterance]) -> dict[str, Score]:
    """Strict F1 of each type of slot."""
    gold = [placed_spans(utterance.sentence) for utterance in utterances]
    found = _found(parses)

    def only(name: str, spans: Sequence[set[Span]]) -> list[set[Span]]:
        return [{span for span in each if span[0] == name} for each in spans]

    types = sorted({label for spans in gold for label, _, _ in spans})
    return {name: strict_f1(only(name, found), only(name, gold)) for name in types}


def _exact_match(pairs: Sequence[tuple[Parse, Utterance]]) -> Score:
    trees = [utterance.tree for _, utterance in pairs if utterance.tree is not None]
    if len(trees) == len(pairs):
        return tree_exact_match([parse.tree for parse, _ in pairs], trees)
    found = _found([parse for parse, _ in pairs])
    return frame_exact_match(
        [(parse.intent.label, spans) for (parse, _), spans in zip(pairs, found, strict=True)],
        [(u.intent, placed_spans(u.sentence)) for _, u in pairs],
    )


def _found(parses: Sequence[Parse]) -> list[set[Span]]:
    return [{(slot.label, slot.start, slot.end) for slot in parse.slots} for parse in parses]
