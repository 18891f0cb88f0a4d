"""SQuAD and everything in its format: extractive questions, answers by code point.

squad-en: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text",
v1.1, CC BY-SA 4.0; https://rajpurkar.github.io/SQuAD-explorer/.
squad-es: Carrino et al. 2020, "Automatic Spanish Translation of SQuAD Dataset for Multi-lingual
Question Answering", MIT; https://github.com/ccasimiro88/TranslateAlignRetrieve. The small dev file,
split by article again, without the paragraphs of XQuAD. squad-es/v1.1: the whole, as published.
xquad/<language>: Artetxe et al. 2020, "On the Cross-lingual Transferability of Monolingual
Representations", CC BY-SA 4.0; https://github.com/google-deepmind/xquad. To measure on only.

Files:
    squad-en/train-v1.1.json, or train-v1.1-reconstructed.json: texts, questions and answers of the
        explorer's pages, offsets found again, so that a few point to another occurrence
    squad-es/{train,dev}.paragraphs-outside-xquad.json; squad-es/{train,dev}-v1.1-es.json
    xquad/xquad.<language>.json
Splits: squad-en `train`, `dev` (articles carved by their title, so that no paragraph is on both
sides); squad-es and squad-es/v1.1 `train`, `dev`; xquad `test`.
An answer with an empty text is one that translation lost and is left out. A question that loses all
its answers so, without being marked `is_impossible`, is left out and counted in the log.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from training.datasets.corpus_files import field, locate, read_json
from training.datasets.examples import GoldAnswer, Question
from training.datasets.splits import carve
from training.errors import DataError

logger = logging.getLogger(__name__)
XQUAD_LANGUAGES = ("en", "es", "ro", "ar", "de", "el", "hi", "ru", "th", "tr", "vi", "zh")
ENGLISH_SPLITS = ("train", "dev")
SPANISH_SPLITS = ("train", "dev")


def read_english(data_dir: Path, split: str) -> list[Question]:
    """Read one side of SQuAD's training articles, in the order of `carve`.

    Raises:
        DataError: see `read_file`.
    """
    names = ("train-v1.1.json", "train-v1.1-reconstructed.json")
    path = locate(data_dir / "squad-en", *names)
    part = carve(read_articles(path), split, key=lambda article: article[0])
    return [question for _, questions in part for question in questions]


def read_spanish(data_dir: Path, split: str) -> list[Question]:
    """Read one split of SQuAD-es, in file order.

    Raises:
        DataError: see `read_file`.
    """
    return read_file(locate(data_dir / "squad-es", f"{split}.paragraphs-outside-xquad.json"))


def read_whole_spanish(data_dir: Path, split: str) -> list[Question]:
    """Read one split of SQuAD-es v1.1 as it was published, in file order.

    Raises:
        DataError: see `read_file`.
    """
    return read_file(locate(data_dir / "squad-es", f"{split}-v1.1-es.json"))


def read_xquad(data_dir: Path, split: str, *, language: str) -> list[Question]:
    """Read XQuAD, whose only split is `test`, in file order.

    Raises:
        DataError: see `read_file`.
    """
    return read_file(locate(data_dir / "xquad", f"xquad.{language}.json"))


def read_file(path: Path) -> list[Question]:
    """Read any file in SQuAD's format (1.1 or 2.0), in file order.

    Raises:
        DataError: unreadable, malformed, or an answer is not what stands at its place; names file
            and question.
    """
    return [question for _, questions in read_articles(path) for question in questions]


def read_articles(path: Path) -> list[tuple[str, list[Question]]]:
    """The same, by article: title and questions.

    Raises:
        DataError: see `read_file`.
    """
    articles: list[tuple[str, list[Question]]] = []
    lost = 0
    for number, article in enumerate(field(read_json(path), "data", list, str(path))):
        place = f"{path}: article {number}"
        questions = list(_questions(article, place))
        usable = [question for question in questions if question is not None]
        lost += len(questions) - len(usable)
        articles.append((field(article, "title", str, place), usable))
    if lost:
        logger.info("%s: %d questions without an answer left out", path, lost)
    return articles


def marked_answers(entry: object, place: str) -> list[tuple[str, int]]:
    """Text and start of each answer that has a text, as the file has them.

    Raises:
        DataError: a record is malformed.
    """
    return [
        (field(answer, "text", str, place), field(answer, "answer_start", int, place))
        for answer in field(entry, "answers", list, place)
        if not isinstance(answer, dict) or answer.get("text") != ""
    ]


def _questions(article: object, place: str) -> Iterator[Question | None]:
    """Questions of an article, None for one that lost its answers."""
    for paragraph in field(article, "paragraphs", list, place):
        context = field(paragraph, "context", str, place)
        for entry in field(paragraph, "qas", list, place):
            name = str(field(entry, "id", object, place))
            here = f"{place}: question {name}"
            is_impossible = entry.get("is_impossible") is True
            answers = () if is_impossible else _answers(entry, context, here)
            question = Question(name, field(entry, "question", str, here), context, answers)
            yield question if answers or is_impossible else None


def _answers(entry: object, context: str, place: str) -> tuple[GoldAnswer, ...]:
    answers: list[GoldAnswer] = []
    for text, start in marked_answers(entry, place):
        if start < 0 or context[start : start + len(text)] != text:
            raise DataError(f"{place}: the answer is not at its answer_start {start}")
        bare = text.strip()
        answers.append(GoldAnswer(bare, start + text.index(bare)))
    return tuple(answers)
