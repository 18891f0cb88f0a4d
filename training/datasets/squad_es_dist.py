"""SQuAD-es-dist, Spanish questions on paragraphs of SQuAD-es, checked by hand; Apache-2.0.

https://github.com/santroma1/SQuAD-es-dist, built on Carrino et al. 2020.

Files, under `<data>/squad-es-dist/`: training.filtered.json, dev.filtered.json
    {"data": [{"context", "question", "choices": [{"text", "start", "end", "type"}]}]}
where one choice has the type `correct answer`. Filtered: without the paragraphs of SQuAD-es's dev
file.
Splits: `train`, `dev`. Annotators edited one answer in twenty (another article, a lower case
letter), so the answer is what stands in the context, grown to whole words.
"""

from pathlib import Path

from training.datasets.corpus_files import field, locate, read_json
from training.datasets.examples import GoldAnswer, Question
from training.errors import DataError

FILES = {"train": "training.filtered.json", "dev": "dev.filtered.json"}


def read(data_dir: Path, split: str) -> list[Question]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a question malformed; names file and question.
    """
    path = locate(data_dir / "squad-es-dist", FILES[split])
    return [
        _question(entry, f"dist-{split}-{number:03}", f"{path}: question {number}")
        for number, entry in enumerate(field(read_json(path), "data", list, str(path)))
    ]


def _question(entry: object, name: str, place: str) -> Question:
    context = field(entry, "context", str, place)
    asked = field(entry, "question", str, place)
    choices = field(entry, "choices", list, place)
    right = [c for c in choices if field(c, "type", str, place) == "correct answer"]
    if len(right) != 1:
        raise DataError(f"{place}: {len(right)} choices of type `correct answer`, expected 1")
    start, end = field(right[0], "start", int, place), field(right[0], "end", int, place)
    if not 0 <= start < end <= len(context) or not context[start:end].strip():
        raise DataError(f"{place}: {start}:{end} is no span of the context")
    return Question(name, asked, context, (_whole_words(context, start, end),))


def _whole_words(context: str, start: int, end: int) -> GoldAnswer:
    """The span without white space at its ends, and without half a word."""
    while context[start].isspace():
        start += 1
    while context[end - 1].isspace():
        end -= 1
    while start > 0 and context[start - 1].isalnum() and context[start].isalnum():
        start -= 1
    while end < len(context) and context[end - 1].isalnum() and context[end].isalnum():
        end += 1
    return GoldAnswer(context[start:end], start)
