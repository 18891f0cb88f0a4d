"""Questions: every answer stands where it says, whatever the file says."""

import json
from pathlib import Path

import pytest

from tests.training.corpus_samples import CONTEXT, question, squad, write
from training.datasets import read_split
from training.datasets.examples import GoldAnswer, Question
from training.datasets.squad import read_file
from training.errors import DataError


def test_squad_questions_have_answers_at_code_points(tmp_path: Path) -> None:
    text = squad([question("q1", ("Viena", 20), (" Viena", 19))], context="𝄞" + CONTEXT)
    path = write(tmp_path / "any.json", text)

    [found] = read_file(path)

    assert found.answers == (GoldAnswer("Viena", 20), GoldAnswer("Viena", 20))
    assert not found.is_impossible


def test_impossible_questions_have_no_answer_and_lost_ones_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    entries = [
        question("marked", is_impossible=True),
        question("marked-and-answered", ("Viena", 19), is_impossible=True),
        question("lost", ("", -1)),
        question("half lost", ("", -1), ("Viena", 19)),
    ]
    write(tmp_path / "xquad/xquad.ro.json", squad(entries))

    found = read_split(tmp_path, "xquad/ro", "test", Question)

    assert [(q.id, q.is_impossible) for q in found] == [
        ("marked", True),
        ("marked-and-answered", True),
        ("half lost", False),
    ]
    assert "1 questions without an answer left out" in caplog.text


def test_english_articles_are_carved_whole(tmp_path: Path) -> None:
    articles = [
        {
            "title": f"Orașul {i}",
            "paragraphs": [
                {"context": f"{CONTEXT} {i} {k}", "qas": [question(f"{i}-{k}", ("Viena", 19))]}
                for k in range(3)
            ],
        }
        for i in range(60)
    ]
    write(tmp_path / "squad-en/train-v1.1.json", json.dumps({"data": articles}))

    train, dev = (
        {q.id.partition("-")[0] for q in read_split(tmp_path, "squad-en", split, Question)}
        for split in ("train", "dev")
    )

    assert len(train) + len(dev) == 60
    assert not train & dev


def choice(kind: str, text: str, start: int, end: int) -> dict[str, object]:
    return {"text": text, "start": start, "end": end, "type": kind, "extra": None}


@pytest.mark.parametrize(
    ("text", "start", "end", "answer"),
    [
        ("prin Viena", 14, 24, GoldAnswer("prin Viena", 14)),
        # Edited by the annotator: what stands there is the answer.
        ("la Viena", 19, 24, GoldAnswer("Viena", 19)),
        ("Viena", 18, 25, GoldAnswer("Viena,", 19)),
        ("iena", 20, 24, GoldAnswer("Viena", 19)),
        ("Vien", 19, 23, GoldAnswer("Viena", 19)),
    ],
)
def test_edited_answers_become_what_stands_in_the_context(
    tmp_path: Path, text: str, start: int, end: int, answer: GoldAnswer
) -> None:
    choices = [choice("correct answer", text, start, end), choice("distractor", "Rin", 0, 3)]
    entry = {"context": CONTEXT, "question": "Prin ce oraș?", "choices": choices}
    write(tmp_path / "squad-es-dist/dev.filtered.json", json.dumps({"data": [entry]}))

    [found] = read_split(tmp_path, "squad-es-dist", "dev", Question)

    assert found.answers == (answer,)
    assert found.context[answer.start : answer.start + len(answer.text)] == answer.text


def test_covid_answers_are_found_again_near_their_place(tmp_path: Path) -> None:
    context = "Viena, prin Viena și prin Viena"
    entries = [
        question(1, ("", -1)),
        question(2, (" Viena", 13)),
        question(3, ("Roma", 3)),
        question(4, ("Viena", 0), ("Roma", 3)),
    ]
    path = tmp_path / "covid19-qa-es/dataset_covid_qa_dev.json"
    write(path, squad(entries, context))

    found = read_split(tmp_path, "covid19-qa-es", "dev", Question)

    assert [(q.id, q.answers) for q in found] == [
        ("covid-dev-1", ()),
        ("covid-dev-2", (GoldAnswer("Viena", 12),)),
        ("covid-dev-4", (GoldAnswer("Viena", 0),)),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (question("q7", ("Viena", 18)), r"article 0: question q7: the answer is not at its"),
        (question("q7", ("Viena", -1)), r"question q7: the answer is not at its answer_start -1"),
        ({"id": "q7", "question": "Ce?"}, r"question q7: no answers"),
        ({"id": "q7", "question": " ", "answers": []}, r"question q7: question is empty"),
        ({"question": "Ce?"}, r"article 0: no id"),
        ({"id": 1, "question": "Ce?", "answers": [{"text": "a"}]}, r"question 1: no answer_start"),
        (
            {"id": 1, "question": "Ce?", "answers": [{"text": "a", "answer_start": True}]},
            r"question 1: answer_start must be int, got bool",
        ),
    ],
)
def test_a_malformed_question_is_named(
    tmp_path: Path, entry: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "any.json", squad([entry]))

    with pytest.raises(DataError, match=message):
        read_file(path)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([choice("distractor", "Viena", 19, 24)], "0 choices of type `correct answer`"),
        ([choice("correct answer", "Viena", 24, 19)], "24:19 is no span of the context"),
        ([choice("correct answer", "Viena", 19, 1900)], "19:1900 is no span"),
        ([choice("correct answer", " ", 18, 19)], "text is empty|18:19 is no span"),
    ],
)
def test_a_choice_that_is_no_span_is_refused(
    tmp_path: Path, choices: list[dict[str, object]], message: str
) -> None:
    entry = {"context": CONTEXT, "question": "Prin ce oraș?", "choices": choices}
    write(tmp_path / "squad-es-dist/dev.filtered.json", json.dumps({"data": [entry]}))

    with pytest.raises(DataError, match=rf"question 0: ({message})"):
        read_split(tmp_path, "squad-es-dist", "dev", Question)
