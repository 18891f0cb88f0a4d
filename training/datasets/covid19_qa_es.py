"""COVID-19 questions on Uruguayan news, in Spanish; no licence is stated (newspaper text).

https://github.com/pln-fing-udelar/covid19-qa.

Files, under `<data>/covid19-qa-es/`: dataset_covid_qa_{train,dev,test}.json, in SQuAD's format,
except that a question without an answer has one with an empty text at -1.
Splits: `train`, `dev`, `test`. Contexts are whole articles. Several answers are several ways to say
it or, seldom, parts of one. Answers that are not at their place are looked for in the context, and
left out, with a question that loses all of them so, if they are not in it; the log counts them.
"""

import logging
from pathlib import Path

from training.datasets.corpus_files import field, locate, read_json
from training.datasets.examples import GoldAnswer, Question
from training.datasets.squad import marked_answers

logger = logging.getLogger(__name__)
SPLITS = ("train", "dev", "test")


def read(data_dir: Path, split: str) -> list[Question]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a record malformed; names file and question.
    """
    path = locate(data_dir / "covid19-qa-es", f"dataset_covid_qa_{split}.json")
    questions: list[Question] = []
    lost = 0
    for number, article in enumerate(field(read_json(path), "data", list, str(path))):
        place = f"{path}: article {number}"
        for paragraph in field(article, "paragraphs", list, place):
            context = field(paragraph, "context", str, place)
            for entry in field(paragraph, "qas", list, place):
                here = f"{place}: question {field(entry, 'id', int, place)}"
                asked = field(entry, "question", str, here)
                marked = marked_answers(entry, here)
                placed = (_place(context, text, start) for text, start in marked)
                answers = tuple(answer for answer in placed if answer is not None)
                lost += len(marked) - len(answers)
                if answers or not marked:
                    name = f"covid-{split}-{entry['id']}"
                    questions.append(Question(name, asked, context, answers))
    if lost:
        logger.info("%s: %d answers that are not in their context left out", path, lost)
    return questions


def _place(context: str, text: str, start: int) -> GoldAnswer | None:
    """The occurrence that is nearest to where the file says."""
    bare = text.strip()
    starts = [i for i in range(len(context)) if context.startswith(bare, i)]
    if not starts:
        return None
    return GoldAnswer(bare, min(starts, key=lambda found: abs(found - start)))
