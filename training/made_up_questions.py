"""Spanish questions about raw text that nobody has answered: the teacher does.

Two kinds, after Lewis et al. 2019 ("Unsupervised Question Answering by Cloze Translation"). Cloze:
a sentence with a name or a number replaced by the word that asks for it, or left out behind that
word ("noisy" clozes). Template: a fixed question about a name. Whether a question makes sense, and
what answers it, is the teacher's to say.
"""

import random
import re
from collections.abc import Iterable, Iterator

from training.datasets.examples import Question
from training.datasets.raw_text import TextLine
from training.datasets.splits import stable_fraction
from training.errors import DataError
from training.sections import MadeUpQuestions

MIN_WORDS, MAX_WORDS = 60, 160
"""Of a context: paragraphs that follow each other, where a recipe leaves none out."""

MAX_QUESTION_WORDS = 25
_SENTENCE = re.compile(r"(?<=[.!?…])\s+(?=[¿¡«\"(]?[A-ZÁÉÍÓÚÑ])")
_NAME = re.compile(
    r"(?<![.!?…¿¡«\"(] )(?<!^)\b[A-ZÁÉÍÓÚÑ]\w+(?:(?: (?:de|del|de la|de los|y))? [A-ZÁÉÍÓÚÑ]\w+)*"
)
_YEAR = re.compile(r"\b(?:en|de) ((?:1[5-9]|20)\d\d)\b")
_NUMBER = re.compile(r"\b\d+(?:[.,]\d+)*\b(?: (?:millones|mil|por ciento))?")
_ASKING = {
    _NAME: ("quién", "qué", "dónde", "cuál"),
    _YEAR: ("cuándo", "qué año"),
    _NUMBER: ("cuántos", "cuánto"),
}
_TEMPLATES = (
    "¿Quién es {}?",
    "¿Qué es {}?",
    "¿Qué hizo {}?",
    "¿Dónde está {}?",
    "¿Cuándo se menciona a {}?",
    "¿Qué dijo {}?",
    "¿De qué forma parte {}?",
    "¿Con qué se relaciona {}?",
)


def make_up_questions(
    lines: Iterable[TextLine], recipe: MadeUpQuestions, *, seed: int
) -> list[Question]:
    """Make up one question a context, contexts chosen by the hash of their text.

    Args:
        lines: Spanish paragraphs (training.text_mix).
        recipe: how many, and of which kinds.
        seed: of kinds, names and words.

    Returns:
        Questions without answers.

    Raises:
        DataError: the text holds too few contexts with a name or a number in them.
    """
    texts = sorted(_contexts(line.text for line in lines if not line.is_dev), key=stable_fraction)
    generator = random.Random(seed)
    found: list[Question] = []
    for text in texts:
        is_cloze = generator.random() < recipe.cloze
        asked = cloze(text, generator) if is_cloze else from_template(text, generator)
        if asked is not None:
            found.append(Question(f"made-up-{len(found)}", asked, text, None))
        if len(found) == recipe.questions:
            return found
    raise DataError(
        f"the raw text holds {len(found)} contexts to ask about, the recipe wants "
        f"{recipe.questions}"
    )


def cloze(text: str, generator: random.Random) -> str | None:
    """A sentence of a text that asks for one of its names, years or numbers.

    >>> cloze("Ayer nació Ana en Lima.", random.Random(0))
    '¿Ayer nació Ana en cuál?'
    """
    sentences = [s for s in _SENTENCE.split(text) if s.count(" ") < MAX_QUESTION_WORDS]
    generator.shuffle(sentences)
    for sentence in sentences:
        bare = sentence.strip("¿?¡!. ")
        places = [(kind, match) for kind in _ASKING for match in kind.finditer(bare)]
        if not places:
            continue
        kind, match = generator.choice(places)
        word = generator.choice(_ASKING[kind])
        start, end = match.span(kind.groups)
        if generator.random() < 0.5:
            return f"¿{bare[:start]}{word}{bare[end:]}?"
        rest = f"{bare[:start].rstrip()} {bare[end:].lstrip()}".strip()
        return f"¿{word.capitalize()} {rest}?"
    return None


def from_template(text: str, generator: random.Random) -> str | None:
    """A fixed question about a name in a text."""
    names = list(dict.fromkeys(match.group() for match in _NAME.finditer(text)))
    if not names:
        return None
    return generator.choice(_TEMPLATES).format(generator.choice(names))


def _contexts(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs joined until they are long enough; what becomes too long is left out."""
    joined: list[str] = []
    words = 0
    for paragraph in paragraphs:
        joined.append(paragraph)
        words += paragraph.count(" ") + 1
        if words >= MIN_WORDS:
            if words <= MAX_WORDS:
                yield " ".join(joined)
            joined, words = [], 0
