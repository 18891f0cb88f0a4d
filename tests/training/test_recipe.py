from pathlib import Path

import pytest
import yaml

from tests.training.tiny_corpus import (
    distilled_encoder_content,
    encoder_content,
    recipe_content,
    write_corpora,
    write_recipe,
)
from tests.training.tiny_parallel import sentence_content
from training.encoder import PUBLISHED, encoder_key, find_encoder
from training.encoder_recipe import EncoderFile, EncoderRecipe
from training.errors import RecipeError
from training.recipe import Recipe
from training.recipe_file import load_recipe
from training.run import Road

SHIPPED = Path(__file__).parents[2] / "training" / "recipes"
STORE = SHIPPED.parents[1] / "model_store"
RECIPES = sorted(SHIPPED.rglob("*.yaml"))
ENCODERS = sorted(folder for folder in PUBLISHED.iterdir() if folder.is_dir())


@pytest.mark.parametrize("folder", ENCODERS, ids=lambda folder: folder.name)
def test_a_published_encoder_is_found_by_its_recipe(folder: Path) -> None:
    recipe = EncoderRecipe.model_validate(
        {"recipe": f"{folder.name}.yaml"}, context={"folder": SHIPPED}
    )

    assert find_encoder(recipe, Path("no runs here")) == str(folder)


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_validates(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    content["seed"] = -1
    content["surprise"] = True
    content["languages"] = []
    content["teachers"]["teacher-tiny"]["stages"][0]["learning_rate"] = 2
    content["students"]["distil-tiny"]["layers"] = [2, 1]
    content["golden"] = "nowhere.txt"
    own = [{"corpus": "ronec", "split": "valid[:70%]"}]
    content["students"]["distil-tiny"]["stages"][0]["data"] = own
    content["dev"]["split"] = "valid[60%:]"

    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(tmp_path, content))

    message = str(caught.value)
    places = (
        "seed",
        "surprise",
        "languages",
        "teachers.teacher-tiny.stages.0.learning_rate",
        "students.distil-tiny.layers",
    )
    contradictions = ("golden", "students.distil-tiny.stages.0")
    assert "7 mistake(s)" in message
    for place in (*places, *contradictions):
        assert f"  {place}: " in message


def test_a_stride_without_room_and_an_unknown_split_are_refused(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    content["teachers"]["teacher-tiny"]["stride"] = 30
    content["dev"]["split"] = "rehearsal"

    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(tmp_path, content))

    message = str(caught.value)
    assert "  teachers.teacher-tiny.stride: 30 leaves no room in windows of 32" in message
    assert "  dev: Value error, ronec has no split 'rehearsal'" in message


def test_training_on_the_development_part_is_refused(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    content["students"]["distil-tiny"]["stages"][0]["data"] = [
        {"corpus": "ronec", "split": "valid[:61%]"}
    ]

    with pytest.raises(
        RecipeError, match=r"students.distil-tiny.stages.0: trains on ronec valid\[:61%\], which"
    ):
        load_recipe(write_recipe(tmp_path, content))


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, recipe_content(tmp_path))
    path.write_text(path.read_text(encoding="utf-8") + "seed: 2\n", encoding="utf-8")

    with pytest.raises(RecipeError, match=r"seed: given twice, again in line \d+"):
        load_recipe(path)


@pytest.mark.parametrize("text", ["- a list", "", "name: [", "\x00"])
def test_a_file_that_is_no_mapping_is_refused_in_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load_recipe(path)


def test_a_missing_golden_file_is_refused(tmp_path: Path) -> None:
    content = recipe_content(tmp_path) | {"golden": "nowhere.txt"}

    with pytest.raises(RecipeError, match=r"nowhere\.txt is not there or empty"):
        load_recipe(write_recipe(tmp_path, content))


def test_an_encoder_is_a_source_or_a_recipe_never_both(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    encoder = content["teachers"]["teacher-tiny"]["encoder"]
    encoder["source"] = "dumitrescustefan/bert-base-romanian-cased-v1"
    with pytest.raises(RecipeError, match="give either source or recipe"):
        load_recipe(write_recipe(tmp_path, content))

    del encoder["recipe"]
    recipe = load_recipe(write_recipe(tmp_path, content))
    assert recipe.teachers["teacher-tiny"].encoder.base == encoder["source"]


def test_a_teacher_does_not_learn_from_a_teacher(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    content["teachers"]["teacher-tiny"]["stages"][0]["data"][0]["labels"] = "teacher"

    with pytest.raises(RecipeError, match="a teacher learns from gold labels only"):
        load_recipe(write_recipe(tmp_path, content))


def write_encoder(folder: Path, content: dict) -> Path:
    path = folder / f"{content['name']}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_an_encoder_is_pre_trained_or_distilled_never_both(tmp_path: Path) -> None:
    teacher = encoder_content(tmp_path)
    content = distilled_encoder_content(teacher)

    with pytest.raises(RecipeError, match="give one of distil, minialbert, pretrain, sentences"):
        load_recipe(write_encoder(tmp_path, content | {"pretrain": teacher["pretrain"]}))


@pytest.mark.parametrize("count", [0, 3])
def test_an_encoder_has_one_teacher_or_two(tmp_path: Path, count: int) -> None:
    content = distilled_encoder_content(encoder_content(tmp_path))
    content["distil"]["teachers"] *= count

    with pytest.raises(RecipeError, match=r"distil\.teachers"):
        load_recipe(write_encoder(tmp_path, content))


def test_an_encoder_that_descends_from_itself_is_refused(tmp_path: Path) -> None:
    content = distilled_encoder_content(encoder_content(tmp_path))
    content["distil"]["teachers"] = [{"recipe": "encoder-distilled.yaml"}]

    with pytest.raises(RecipeError, match=r"encoder-distilled\.yaml descends from itself"):
        load_recipe(write_encoder(tmp_path, content))


def test_mistakes_of_a_named_encoder_are_reported_with_its_file(tmp_path: Path) -> None:
    teacher = encoder_content(tmp_path)
    write_encoder(tmp_path, teacher | {"seed": -1})
    content = distilled_encoder_content(teacher)
    content["distil"]["teachers"] = [{"recipe": "encoder.yaml"}]

    with pytest.raises(RecipeError, match=r"distil\.teachers\.0\.recipe: .*encoder\.yaml: seed: "):
        load_recipe(write_encoder(tmp_path, content))


def test_another_teacher_makes_another_encoder_but_more_tokens_do_not(tmp_path: Path) -> None:
    def key(teacher: dict, **changes: object) -> str:
        content = distilled_encoder_content(teacher)
        content["distil"] |= changes
        return encoder_key(EncoderFile.model_validate(content))

    teacher = encoder_content(tmp_path)
    longer = {**teacher, "pretrain": teacher["pretrain"] | {"tokens": 10_240}}

    assert key(teacher, tokens=10_240) == key(teacher)
    assert len({key(teacher), key(longer), key(teacher, temperature=1.0)}) == 3


@pytest.mark.parametrize(
    "start",
    [
        {"layers": [1]},
        {"encoder": {"source": "some/encoder"}},
        {"layers": [1], "encoder": {"source": "some/encoder"}},
    ],
    ids=["layers of the teacher", "an encoder", "layers of an encoder"],
)
def test_a_student_may_start_from(tmp_path: Path, start: dict) -> None:
    content = recipe_content(tmp_path)
    student = content["students"]["distil-tiny"]
    del student["layers"]
    student |= start

    recipe = load_recipe(write_recipe(tmp_path, content)).students["distil-tiny"]

    assert (recipe.layers is not None, recipe.encoder is not None) == (
        "layers" in start,
        "encoder" in start,
    )


def test_a_student_that_starts_from_nothing_is_refused(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    del content["students"]["distil-tiny"]["layers"]

    with pytest.raises(RecipeError, match="give layers of the first teacher, an encoder, or"):
        load_recipe(write_recipe(tmp_path, content))


@pytest.mark.parametrize(
    ("hidden", "message"),
    [(0.0, "distil-tiny.pairs: only sts has pairs"), (1.0, r"weights\.hidden: must be 0")],
)
def test_what_a_bi_encoder_cannot_do_is_refused(
    tmp_path: Path, hidden: float, message: str
) -> None:
    content = recipe_content(tmp_path)
    student = content["students"]["distil-tiny"]
    student |= {"pairs": "apart", "weights": {"soft": 1.0, "hard": 0.5, "hidden": hidden}}

    with pytest.raises(RecipeError, match=message):
        load_recipe(write_recipe(tmp_path, content))


def test_a_bi_encoder_teaches_bi_encoders_alone(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    content["teachers"]["teacher-tiny"] |= {"pairs": "apart"}

    with pytest.raises(RecipeError) as refusal:
        load_recipe(write_recipe(tmp_path, content))

    assert "teachers.teacher-tiny.pairs: only sts has pairs" in str(refusal.value)
    assert "distil-tiny.pairs: must be apart, as teacher-tiny reads pairs so" in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": [{"corpus": "ro-sts", "split": "train"}]}, "ro-sts holds no ParallelSentence"),
        ({"scored_dev": {"corpus": "ro-sts/ro-en", "split": "dev"}}, "holds no ScoredPair"),
        ({"data": [{"corpus": "ro-sts/ro-en", "split": "dev[:9%]"}]}, "overlaps dev"),
        ({"data": []}, "sentences.data: "),
        ({"encoder": {}}, "give either source or recipe"),
    ],
)
def test_a_mistake_in_a_recipe_of_sentences_is_named(
    tmp_path: Path, changes: dict, message: str
) -> None:
    content = sentence_content(tmp_path, tmp_path, **changes)

    with pytest.raises(RecipeError, match=message):
        load_recipe(write_encoder(tmp_path, content))


def test_encoders_that_teachers_of_an_encoder_learnt_from_dev_are_refused(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    teacher = encoder_content(tmp_path)
    teacher["pretrain"]["text"] = {
        **teacher["pretrain"]["text"],
        "corpora": [{"corpus": "ronec", "split": "valid[90%:]"}],
    }
    distilled = distilled_encoder_content(teacher)
    distilled["distil"]["text"] = {"folder": "ro-text", "sources": {"story": 1.0}}
    student = content["students"]["distil-tiny"]
    del student["layers"]
    student["encoder"] = {"recipe": distilled}

    with pytest.raises(
        RecipeError, match=r"students.distil-tiny.encoder: learns from ronec valid\[90%:\], which"
    ):
        load_recipe(write_recipe(tmp_path, content))


def test_a_pqrnn_compares_no_hidden_states_and_no_two_texts(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    student = content["students"]["distil-tiny"]
    del student["layers"]
    student["pqrnn"] = {"layers": 1}

    with pytest.raises(RecipeError, match=r"weights.hidden: must be 0, as a pqrnn"):
        load_recipe(write_recipe(tmp_path, content))

    student["weights"]["hidden"] = 0.0
    with pytest.raises(RecipeError, match=r"distil-tiny.pqrnn: it reads one text, and sts"):
        load_recipe(write_recipe(tmp_path, content | {"task": "sts"}))
    loaded = load_recipe(write_recipe(tmp_path, content))
    assert loaded.students["distil-tiny"].pqrnn.state == 128


def test_splits_that_are_measured_besides_are_never_trained_on(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    content["further_dev"] = [{"corpus": "ronec", "split": "valid[50%:60%]"}]

    with pytest.raises(RecipeError, match=r"which overlaps dev valid\[50%:60%\]"):
        load_recipe(write_recipe(tmp_path, content))


def test_only_utterances_are_augmented_and_only_for_students(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    for model in (content["teachers"]["teacher-tiny"], content["students"]["distil-tiny"]):
        model["stages"][0]["augmentation"] = {"copies": 1}

    with pytest.raises(RecipeError, match="augmentation is of utterances, ronec has none"):
        load_recipe(write_recipe(tmp_path, content))


@pytest.mark.parametrize(
    "path",
    sorted(path for kind in ("minialbert", "pqrnn") for path in (SHIPPED / kind).glob("*.yaml")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_recipes_of_one_name_have_the_same_teacher(path: Path) -> None:
    """It is found in the folder of the recipe's name, or it comes from the store."""
    further, first = load_recipe(path), load_recipe(SHIPPED / path.name)

    assert isinstance(further, Recipe)
    assert isinstance(first, Recipe)
    assert (further.seed, further.dev) == (first.seed, first.dev)
    for name, teacher in further.teachers.items():
        trained = first.teachers[name]
        assert teacher.stages == trained.stages
        if teacher.registered:
            assert teacher.registered.startswith(f"{further.task}/{name}/")
            assert (STORE / teacher.registered).is_dir()
        else:
            assert teacher == trained
    assert further.file == f"{path.parent.name}/{path.name}"
    assert not further.students.keys() & first.students.keys()


def test_the_key_of_a_trained_model_stays_as_it_was(tmp_path: Path) -> None:
    """Recorded before students had `trains`: with another key, everything would be trained anew."""
    content = recipe_content(tmp_path)
    content["teachers"]["teacher-tiny"]["encoder"] = {"source": "toy"}
    recipe = load_recipe(write_recipe(tmp_path, content))
    assert isinstance(recipe, Recipe)

    road = Road(recipe, write_corpora(tmp_path / "data"), tmp_path, tmp_path)

    keys = {name: road.key(name) for name in recipe.models}
    assert keys == {"teacher-tiny": "3c010070a4", "distil-tiny": "7a86c1fecd"}


def test_a_teacher_that_stays_out_of_the_store_is_neither_asked_nor_named(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    content["teachers"]["teacher-tiny"]["stored"] = False

    with pytest.raises(RecipeError) as refusal:
        load_recipe(write_recipe(tmp_path, content))

    assert "calibration: teacher-tiny is not stored, so nothing can ask it" in str(refusal.value)
    assert "aliases: teacher-tiny is not stored, so nothing can name it" in str(refusal.value)


def test_a_teacher_that_stays_out_of_the_store_is_the_same_teacher(tmp_path: Path) -> None:
    content = recipe_content(tmp_path)
    del content["calibration"], content["aliases"]
    data, roads = write_corpora(tmp_path / "data"), []
    for stored in (True, False):
        content["teachers"]["teacher-tiny"]["stored"] = stored
        recipe = load_recipe(write_recipe(tmp_path, content))
        assert isinstance(recipe, Recipe)
        roads.append(Road(recipe, data, tmp_path, tmp_path))

    assert roads[0].key("teacher-tiny") == roads[1].key("teacher-tiny")
    assert [road.recipe.packages for road in roads] == [
        ["teacher-tiny", "distil-tiny"],
        ["distil-tiny"],
    ]
