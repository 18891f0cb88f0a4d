"""What two vocabularies have in common: words that are one token in both.

An uncased teacher has one token where a cased student has several, so the student's probabilities
are added over the tokens that the teacher reads as one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from training.errors import StepError

SHARED_VOCABULARY = 0.25
"""A teacher must have at least this share of the student's whole words."""


@dataclass(frozen=True, slots=True)
class SharedWords:
    """The teacher's tokens that the student has too, numbered from 0.

    Attributes:
        student_words: number of the shared word behind each of the student's tokens, or -1.
        teacher_words: the same of the teacher's tokens.
    """

    student_words: NDArray[np.int64]
    teacher_words: NDArray[np.int64]

    @classmethod
    def of(
        cls, student: PreTrainedTokenizerFast, teacher: PreTrainedTokenizerFast
    ) -> "SharedWords":
        """Find them.

        Continuations ("##") and special tokens are no words: a place where either vocabulary has a
        single token for the whole word is asked about words only.

        Raises:
            StepError: there are too few to learn from.
        """
        share = shared_share(student, teacher)
        if share < SHARED_VOCABULARY:
            raise StepError(
                "the vocabularies cannot be aligned: the second teacher has only "
                f"{100 * share:.0f} % of the student's words as tokens, and "
                f"{100 * SHARED_VOCABULARY:.0f} % are needed; choose one of the same language "
                "whose tokens are whole words"
            )
        student_words = np.full(len(student), -1, np.int64)
        teacher_words = np.full(len(teacher), -1, np.int64)
        count = 0
        for own, other in _read_alike(student, teacher).items():
            if teacher_words[other] < 0:
                teacher_words[other] = count
                count += 1
            student_words[own] = teacher_words[other]
        return cls(student_words, teacher_words)

    def student_logits(self, logits: Tensor, *, temperature: float) -> Tensor:
        """The student's logits of shared words, those of their variants taken together.

        softmax(result / T) is the sum of softmax(logits / T) over variants, renormalized on the
        shared words.

        Args:
            logits: shape (rows, student's vocabulary), float32.
            temperature: T.

        Returns:
            Shape (rows, shared words).
        """
        tokens = np.flatnonzero(self.student_words >= 0)
        index = torch.from_numpy(self.student_words[tokens]).to(logits.device)
        scaled = logits[:, torch.from_numpy(tokens).to(logits.device)] / temperature
        largest = scaled.detach().amax(dim=1, keepdim=True)
        sums = torch.zeros(len(logits), int(index.max()) + 1, device=logits.device)
        sums = sums.index_add(1, index, torch.exp(scaled - largest))
        tiny = torch.finfo(sums.dtype).tiny  # an improbable word must not become log 0
        return temperature * (torch.log(sums.clamp_min(tiny)) + largest)

    def teacher_logits(self, logits: Tensor) -> Tensor:
        """The teacher's logits of shared words: (rows, its vocabulary) -> (rows, shared words)."""
        tokens = np.flatnonzero(self.teacher_words >= 0)
        order = tokens[np.argsort(self.teacher_words[tokens])]
        return logits[:, torch.from_numpy(order).to(logits.device)]


def shared_share(student: PreTrainedTokenizerFast, teacher: PreTrainedTokenizerFast) -> float:
    """Share of the student's whole words that are one token of the teacher's too."""
    return len(_read_alike(student, teacher)) / max(1, len(_whole_words(student)))


def _read_alike(
    student: PreTrainedTokenizerFast, teacher: PreTrainedTokenizerFast
) -> dict[int, int]:
    """Number of a whole word -> number of the token that the teacher reads it as."""
    theirs = _whole_words(teacher)
    normalizer = teacher.backend_tokenizer.normalizer
    read = {
        number: theirs.get(normalizer.normalize_str(token) if normalizer else token)
        for token, number in _whole_words(student).items()
    }
    return {own: other for own, other in read.items() if other is not None}


def _whole_words(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Token -> number, in the order of numbers."""
    special = set(tokenizer.all_special_ids)
    return {
        token: number
        for token, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if number not in special and not token.startswith("##")
    }
