"""Students without a vocabulary on the road of a recipe: encoder, start, graphs, misspelling."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from app.contract.encoded_text import Arrays
from app.contract.heads import Head
from app.contract.normalization import normalize
from app.contract.projected_text import ProjectionEncoder
from app.contract.segmentation import Segmenter
from training.datasets.examples import Example, TaggedSentence, Utterance
from training.pqrnn import Pqrnn, PqrnnShape, new_pqrnn
from training.recipe import PqrnnRecipe, Stage, StudentRecipe
from training.units import UnitSet


def projection_encoder(recipe: PqrnnRecipe, examples: Sequence[Example]) -> ProjectionEncoder:
    """The encoder of a student, its lexicon from the words of its training examples."""
    return ProjectionEncoder(
        features=recipe.features,
        case=recipe.case,
        max_tokens=recipe.max_tokens,
        stride=recipe.stride,
        lexicon=lexicon_of(examples, count=recipe.lexicon_count),
    )


def projection_encoders(
    students: Mapping[str, StudentRecipe], labelled: Callable[[Stage], list[Example]]
) -> dict[str, ProjectionEncoder]:
    """The encoders of those students that have no vocabulary.

    Args:
        students: of a recipe, by name.
        labelled: stage -> its examples.
    """
    return {
        name: projection_encoder(student.pqrnn, [e for s in student.stages for e in labelled(s)])
        for name, student in students.items()
        if student.pqrnn
    }


def lexicon_of(examples: Sequence[Example], *, count: int) -> frozenset[str]:
    """Words of scripts without spaces that occur at least `count` times."""
    segmenter = Segmenter()
    words: Counter[str] = Counter()
    for example in examples:
        sentence = example.sentence if isinstance(example, Utterance) else example
        given = sentence.words if isinstance(sentence, TaggedSentence) else sentence.text.split()
        words.update(word for word in map(_plain, given) if segmenter.is_unspaced(word))
    return frozenset(word for word, times in words.items() if times >= count)


def start_pqrnn(student: StudentRecipe, head: Head, *, seed: int) -> Pqrnn:
    """A student before it is taught."""
    assert student.pqrnn is not None
    return new_pqrnn(shape_of(student.pqrnn, dropout=student.dropout), head, seed=seed)


def shape_of(recipe: PqrnnRecipe, *, dropout: float) -> PqrnnShape:
    """The network that a recipe describes."""
    return PqrnnShape(
        features=recipe.features,
        bottleneck=recipe.bottleneck,
        state=recipe.state,
        layers=recipe.layers,
        kernel=recipe.kernel,
        pooling=recipe.pooling,
        zoneout=recipe.zoneout,
        dropout=dropout,
        quantize=recipe.quantization_aware,
    )


class DistortedUnits(UnitSet):
    """Examples whose words are misspelt at random, each time anew; units and targets stay."""

    def __init__(
        self, examples: Sequence[Example], encoder: ProjectionEncoder, head: Head, *, share: float
    ) -> None:
        """Encode examples.

        Args:
            examples: to train on.
            encoder: of the student.
            head: of the task.
            share: of the words.
        """
        super().__init__(examples, encoder, head)
        self._encoder = encoder
        self._share = share

    def arrays(self, indices: Sequence[int]) -> Arrays:
        """As of UnitSet; which words are misspelt, and how, is torch's random state."""
        arrays = super().arrays(indices)
        windows = [(self.encoded[i], w) for i in indices for w in self.encoded[i].windows]
        hit = torch.rand(arrays["attention_mask"].shape).numpy() < self._share
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        lost = ""
        for row, column in np.argwhere(hit & arrays["attention_mask"].astype(bool)).tolist():
            encoded, window = windows[row]
            span = encoded.spans[window.offset + column]
            assert span is not None  # a projected token is a word
            word, lost = distorted(_plain(encoded.text[slice(*span)]), generator, lost)
            arrays["features"][row, column] = self._encoder.rows([word])[0]
        return arrays


def distorted(word: str, generator: np.random.Generator, lost: str) -> tuple[str, str]:
    """A word with a letter lost, moved, or the last lost letter added, a third of the time each.

    As in seq_flow_lite's projection; a word of one letter keeps it.

    Args:
        word: to misspell.
        generator: of the choices.
        lost: letter that was lost last, empty if none was.

    Returns:
        The word, and the letter that was lost last now.
    """
    choice, at = generator.random(), int(generator.integers(max(len(word), 1)))
    if choice < 1 / 3 and len(word) > 1:
        return word[:at] + word[at + 1 :], word[at]
    if choice < 2 / 3:
        if len(word) < 3:
            return word, lost
        rest = word[:at] + word[at + 1 :]
        to = int(generator.integers(len(word)))
        return rest[:to] + word[at] + rest[to:], lost
    return word[:at] + lost + word[at:], lost


def _plain(word: str) -> str:
    return normalize(word).text
