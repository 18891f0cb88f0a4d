import random

import pytest

from training.datasets.raw_text import TextLine
from training.errors import DataError
from training.made_up_questions import cloze, from_template, make_up_questions
from training.sections import MadeUpQuestions

WORDS = "La noche en el valle era larga y el viento traía polvo desde las minas viejas " * 2


def lines(count: int) -> list[TextLine]:
    """Paragraphs of some thirty words: two make a context."""
    texts = [f"Ayer nació {name} en Lima. {WORDS.strip()}." for name in names(count)]
    return [TextLine(text, is_dev=False) for text in texts]


def names(count: int) -> list[str]:
    return [f"Ana{'bcdfghjklm'[i]}" for i in range(count)]


def recipe(questions: int, cloze: float) -> MadeUpQuestions:
    text = {"folder": "es-text", "sources": {"news": 1.0}}
    return MadeUpQuestions.model_validate({"text": text, "questions": questions, "cloze": cloze})


def test_a_cloze_asks_for_a_name_a_year_or_a_number_of_one_sentence() -> None:
    asked = {cloze("El barco de Marta salió en 1931.", random.Random(i)) for i in range(60)}

    assert "¿El barco de quién salió en 1931?" in asked
    assert "¿El barco de Marta salió en cuándo?" in asked
    assert "¿Cuándo El barco de Marta salió en?" in asked
    assert cloze("hoy no hay nada que contar.", random.Random(0)) is None


def test_a_template_names_somebody_who_is_in_the_text() -> None:
    asked = {from_template("Ayer vino Marta de Lima.", random.Random(i)) for i in range(60)}

    assert "¿Quién es Marta de Lima?" in asked
    assert all(question is not None and "Marta de Lima" in question for question in asked)
    assert from_template("hoy no hay nada.", random.Random(0)) is None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_each_context_has_one_question_that_nobody_has_answered(share: float) -> None:
    made = make_up_questions(lines(6), recipe(3, share), seed=1)

    assert len({question.context for question in made}) == 3
    assert all(question.answers is None for question in made)
    assert all(len(question.context.split()) >= 60 for question in made)
    assert made == make_up_questions(lines(6), recipe(3, share), seed=1)


def test_development_text_is_not_asked_about_and_too_little_text_is_refused() -> None:
    held = [TextLine(line.text, is_dev=True) for line in lines(10)]

    with pytest.raises(DataError, match="holds 0 contexts to ask about, the recipe wants 1"):
        make_up_questions(held, recipe(1, 0.5), seed=1)
