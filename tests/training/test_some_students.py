"""A recipe with some of its students: `--students`."""

from pathlib import Path

import pytest

from tests.training.tiny_corpus import encoder_content, recipe_content, write_recipe
from training.__main__ import main
from training.errors import RecipeError
from training.recipe import Recipe
from training.recipe_file import load_recipe


def test_some_students_take_their_teachers_alone(tmp_path: Path) -> None:
    """What else the recipe says is about the models that are left."""
    content = recipe_content(tmp_path)
    content["teachers"]["teacher-other"] = content["teachers"]["teacher-tiny"]
    other = content["students"]["distil-tiny"] | {"teachers": ["teacher-other"]}
    content["students"]["distil-other"] = other
    content["register_only"] = ["distil-tiny", "teacher-tiny", "distil-other"]
    recipe = load_recipe(write_recipe(tmp_path, content))
    assert isinstance(recipe, Recipe)

    part = recipe.only(["distil-other"])

    assert [*part.models] == ["teacher-other", "distil-other"]
    assert part.packages == ["distil-other"]
    assert (part.aliases, recipe.aliases) == ({}, content["aliases"])
    assert part.command().endswith("/tiny.yaml --students distil-other")
    assert recipe.command().endswith("/tiny.yaml")


@pytest.mark.parametrize(
    ("students", "says"),
    [
        (["distil-tiny", "distil"], "no student is named distil; there are distil-tiny"),
        (["distil-tiny"], "register_only names none of teacher-tiny, distil-tiny"),
    ],
)
def test_students_that_a_recipe_cannot_do_alone_are_refused(
    tmp_path: Path, students: list[str], says: str
) -> None:
    content = recipe_content(tmp_path)
    content["teachers"]["teacher-other"] = content["teachers"]["teacher-tiny"]
    content["register_only"] = ["teacher-other"]
    content["aliases"] = {}
    recipe = load_recipe(write_recipe(tmp_path, content))
    assert isinstance(recipe, Recipe)

    with pytest.raises(RecipeError, match=says):
        recipe.only(students)


def test_an_encoder_has_no_students_to_choose(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_recipe(tmp_path, encoder_content(tmp_path))

    assert main(["run", str(path), "--students", "distil-tiny"]) == 1
    assert "--students: an encoder has none" in caplog.text
