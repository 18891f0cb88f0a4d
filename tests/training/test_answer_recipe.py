from pathlib import Path

import pytest

from tests.training.tiny_corpus import write_recipe
from tests.training.tiny_questions import recipe_content, write_questions
from training.data import RoadData
from training.datasets.examples import Question
from training.errors import RecipeError
from training.recipe import Recipe, Stage, StudentRecipe
from training.recipe_file import load_recipe


def test_parts_of_other_tasks_are_refused(tmp_path: Path) -> None:
    content = recipe_content(tmp_path / "base")
    text = {"folder": "es-text", "sources": {"story": 1.0}}
    joint = content["students"]["joint"]["stages"][0]
    joint["unlabelled"] = {"text": text, "sentences": 5}
    content["students"]["projected"] = {
        **content["students"]["staged"],
        "narrow": None,
        "pqrnn": {},
        "stages": [joint],
    }

    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(tmp_path, content))

    assert "students.joint.stages.0.unlabelled: qa has none" in str(caught.value)
    assert "students.projected.pqrnn: it reads one text, and qa has two" in str(caught.value)


def test_questions_are_parts_of_qa_alone(tmp_path: Path) -> None:
    content = recipe_content(tmp_path / "base") | {"task": "sts"}

    with pytest.raises(RecipeError, match=r"students.staged.stages.0.questions: sts has none"):
        load_recipe(write_recipe(tmp_path, content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 0.1}, "weights.attention: needs dropout 0"),
        ({"layers": None}, "give layers of the first teacher, an encoder"),
        ({"narrow": {"layers": 1, "width": 8, "heads": 2, "inner_width": 8}}, "narrow body starts"),
        (
            {"layers": None, "narrow": {"layers": 1, "width": 9, "heads": 2, "inner_width": 8}},
            "width 9 is no multiple of 2 heads",
        ),
    ],
)
def test_students_that_cannot_be_taught_so_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    student = recipe_content(tmp_path / "base")["students"]["joint"]

    with pytest.raises(ValueError, match=message):
        StudentRecipe.model_validate(student | changes)


def test_a_stage_may_have_weights_of_its_own_and_no_labelled_data(tmp_path: Path) -> None:
    student = StudentRecipe.model_validate(recipe_content(tmp_path / "base")["students"]["staged"])

    assert [weights.soft for weights in student.all_weights] == [0.0, 0.75]
    with pytest.raises(ValueError, match="a stage needs data"):
        Stage.model_validate({"epochs": 1, "batch_size": 1, "learning_rate": 0.1})


def test_data_of_a_stage_are_labelled_questions_and_made_up_ones(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(recipe_content(tmp_path / "base"))
    data = RoadData(recipe, write_questions(tmp_path / "data"))
    first, second = recipe.students["staged"].stages

    made = data.examples(first, tokenizer=None)  # type: ignore[arg-type]  # nothing to be cut
    labelled = data.labelled(second)

    assert len(made) == 10
    assert all(isinstance(q, Question) and q.answers is None for q in made)
    assert len(labelled) == 96
    assert data.head.can_abstain
    assert data.digest([first]) != data.digest([second])
