"""How sure a model is of its answer to one input: what a cascade decides by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.contract.answers import find_answers
from app.contract.decisions import decisions
from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.errors import ContractError
from app.contract.heads import AnswerHead, Head, NumberHead, ScoreHead, VectorHead

NO_CONFIDENCE = (
    "a score has no confidence, so its models cannot be part of a cascade; ask the teacher itself"
)


def confidence(
    head: Head, encoded: EncodedText, outputs: Sequence[WindowOutputs], temperature: float
) -> float:
    """Probability of the whole answer: the product over all its labels, or that of the best span.

    With a temperature fitted on the teacher's labels (`python -m training calibrate`), this is
    about the probability that the teacher gives the same answer. The product, not the least
    certain word: every further doubtful word adds to what can differ. Of BIO tags each word's
    likeliest counts, however they are decoded together, as it does in loyalty.

    Args:
        head: of the model.
        encoded: the input.
        outputs: of its windows.
        temperature: what logits are divided by, > 0.

    Returns:
        In [0, 1]; 1 if no word could be read, since nothing was decided then.

    Raises:
        ContractError: see `check_confident`.
    """
    match head:
        case ScoreHead() | VectorHead():
            raise ContractError(NO_CONFIDENCE)
        case AnswerHead():
            scaled = [{name: a / temperature for name, a in out.items()} for out in outputs]
            return find_answers(encoded, scaled, max_tokens=head.max_answer_tokens)[0].score
        case _:
            found = decisions(head, encoded, outputs)
            return float(np.exp(sum(log_best(d.logits / temperature).sum() for d in found)))


def check_confident(head: Head) -> None:
    """Refuse a head whose answers have no confidence.

    Raises:
        ContractError: it puts out a number, which does not say how sure it is.
    """
    if isinstance(head, NumberHead):
        raise ContractError(NO_CONFIDENCE)


def log_best(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log probability of the likeliest label of each row, shape (rows,)."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    best: NDArray[np.float64] = -np.log(np.exp(shifted).sum(axis=-1))
    return best
