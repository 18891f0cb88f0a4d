"""Utterances that nobody said, for a teacher to label: values of slots exchanged, words lost.

A value is exchanged for another of the same slot, at times of another corpus, whose language may be
another (code-switching). What becomes of the meaning is the teacher's business: the utterances come
without labels.
"""

import random
from collections import defaultdict
from collections.abc import Sequence

from training.datasets.examples import TaggedSentence, Utterance
from training.gold_spans import gold_spans
from training.sections import Augmentation

Value = tuple[str, ...]


def augmented(
    corpora: Sequence[Sequence[Utterance]], recipe: Augmentation, *, seed: int
) -> list[Utterance]:
    """New utterances from labelled ones, each text once, none that is already there.

    Args:
        corpora: utterances of each corpus.
        recipe: how many, and how they differ.
        seed: of the choices.
    """
    choices = random.Random(seed)
    values = [_values(utterances) for utterances in corpora]
    everywhere = _values([utterance for utterances in corpora for utterance in utterances])
    known = {utterance.text for utterances in corpora for utterance in utterances}
    found = []
    for utterances, own in zip(corpora, values, strict=True):
        for utterance in utterances:
            for _ in range(recipe.copies):
                new = _changed(utterance.sentence, own, everywhere, recipe, choices)
                if new.text not in known:
                    known.add(new.text)
                    found.append(Utterance(new, intent=""))
    return found


def _values(utterances: Sequence[Utterance]) -> dict[str, list[Value]]:
    """What fills each slot, in the order of the corpus, as often as it does."""
    found: dict[str, list[Value]] = defaultdict(list)
    for utterance in utterances:
        for label, start, end in sorted(gold_spans(utterance.sentence)):
            found[label].append(utterance.sentence.words[start:end])
    return found


def _changed(
    sentence: TaggedSentence,
    own: dict[str, list[Value]],
    everywhere: dict[str, list[Value]],
    recipe: Augmentation,
    choices: random.Random,
) -> TaggedSentence:
    at = {start: (label, end) for label, start, end in gold_spans(sentence)}
    words: list[str] = []
    spaces: list[bool] = []
    position = 0
    while position < len(sentence.words):
        label, end = at.get(position, ("", position + 1))
        kept = sentence.words[position:end], sentence.space_after[position:end]
        if label and choices.random() < recipe.exchanged:
            pool = everywhere if choices.random() < recipe.switched else own
            value = choices.choice(pool[label])
            kept = value, (*(True,) * (len(value) - 1), sentence.space_after[end - 1])
        if label or choices.random() >= recipe.lost:
            words += kept[0]
            spaces += kept[1]
        position = end
    if not words:
        return sentence
    return TaggedSentence(tuple(words), None, tuple(spaces))
