"""What a model answers that is sure of some labels."""

from collections.abc import Sequence

import numpy as np

from app.contract.decoding import parse
from app.contract.heads import ParseHead
from app.contract.projected_text import ProjectionEncoder
from training.nested_tags import NestedTags


def decoded(nested: NestedTags, words: Sequence[str]) -> str:
    """The tree of an utterance that is sent as words."""
    levels = [("O", *sorted(set(row) - {"O"}), "B-none", "I-none") for row in nested.levels]
    head = ParseHead(intents=(nested.intent, "IN:OTHER"), slots=levels[0], deeper=tuple(levels[1:]))
    encoder = ProjectionEncoder(features=64, case=False, max_tokens=512, stride=0)
    encoded = encoder.encode([words])[0]
    outputs = {"intent_logits": np.array([9, 0], np.float32)}
    for (name, labels), row in zip(head.levels.items(), nested.levels, strict=True):
        logits = np.zeros((encoded.windows[0].num_tokens, len(labels)), np.float32)
        for word, tag in zip(encoded.words, row, strict=True):
            if word.first_token is not None:
                logits[word.first_token, labels.index(tag)] = 9
        outputs[name] = logits
    return parse(head, encoded, [outputs]).tree
