"""Adapter tuning, from a recipe to packages that share a trunk."""

import copy
import json
from pathlib import Path

import pytest
import torch

from app.contract.golden import replay
from app.contract.heads import ClassHead, SpanHead
from app.contract.manifest import ADAPTERS as ADAPTERS_GRAPH
from app.contract.manifest import MODEL, TRUNKS, read_manifest
from app.contract.pipeline import Package, predict
from app.trunks import Trunks
from tests.training.tiny_corpus import (
    encoder_content,
    recipe_content,
    write_base,
    write_corpora,
    write_recipe,
)
from tests.training.toy_models import toy_minialbert, toy_model
from training.adapters import ADAPTERS, trunk_hash
from training.errors import RecipeError, StepError
from training.minialbert import MiniAlbertModel
from training.recipe import Recipe
from training.recipe_file import load_recipe
from training.run import Road
from training.task_model import TaskModel

IDS, MASK = torch.tensor([[2, 5, 6, 3]]), torch.ones(1, 4, dtype=torch.long)


def tuned(folder: Path) -> TaskModel:
    """A model on the trunk in `folder`, with adapters that have learnt something."""
    trunk = toy_minialbert()
    trunk.save_pretrained(folder)
    model = TaskModel(trunk, ClassHead(labels=("a", "b")))
    model.tune_adapters(str(folder))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1)
    return model.eval()


def test_saved_and_loaded_adapters_give_the_same_logits(tmp_path: Path) -> None:
    model = tuned(tmp_path / "trunk")
    (tmp_path / "own").mkdir()
    model.save(tmp_path / "own")

    again = TaskModel.load(tmp_path / "own").eval()

    torch.testing.assert_close(again(IDS, MASK)["logits"], model(IDS, MASK)["logits"])
    assert not (tmp_path / "own" / "model.safetensors").exists()
    assert again.trunk_source == model.trunk_source


def test_adapters_on_the_wrong_trunk_are_refused_by_hash(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    tuned(tmp_path / "trunk").save(tmp_path / "own")
    toy_minialbert(seed=1).save_pretrained(tmp_path / "trunk")

    with pytest.raises(StepError, match=rf"{ADAPTERS} belongs to trunk \w+, this is \w+; restore"):
        TaskModel.load(tmp_path / "own")


def test_the_hash_of_a_trunk_is_that_of_all_but_its_adapters() -> None:
    trunk, other = toy_minialbert(), toy_minialbert()
    for parameter in other.adapters.parameters():
        parameter.data.add_(1.0)
    assert trunk_hash(trunk) == trunk_hash(other)

    other.projector.bias.data[0] += 1e-6

    assert trunk_hash(trunk) != trunk_hash(other)


def test_only_adapters_and_outputs_are_trained(tmp_path: Path) -> None:
    model = tuned(tmp_path)

    trained = {name for name, p in model.named_parameters() if p.requires_grad}

    assert {name.split(".")[1] for name in trained} == {"adapters", "logits"}


def test_a_trunk_without_adapters_is_refused() -> None:
    with pytest.raises(StepError, match="adapters are a MiniALBERT's, this is bert"):
        toy_model(SpanHead(labels=("O", "B-X", "I-X"))).tune_adapters("toy")


def content(base: Path) -> dict:
    """Two students on one MiniALBERT: one is trained whole, of the other only adapters."""
    recipe = recipe_content(base)
    free = ("text", "block_length", "batch_size", "tokens", "learning_rate", "evaluate_every")
    encoder = encoder_content(base)
    made = {name: encoder["pretrain"][name] for name in free}
    made |= {"encoder": {"recipe": encoder}, "layers": [0, 1]}
    made |= {"embedding_size": 16, "adapter_size": 4}
    trunk = {name: encoder[name] for name in ("seed", "licence", "data_notes")}
    trunk |= {"name": "minialbert", "minialbert": made}
    whole = recipe["students"].pop("distil-tiny") | {"encoder": {"recipe": trunk}}
    del whole["layers"]
    whole["stages"][0]["epochs"] = 2
    recipe["teachers"]["teacher-tiny"]["stages"][0]["epochs"] = 2
    adapters = copy.deepcopy(whole) | {"trains": "adapters"}
    recipe["students"] = {"minialbert-tiny": whole, "adapted-tiny": adapters}
    recipe["aliases"] = {"default": "adapted-tiny", "teacher": "teacher-tiny"}
    del recipe["calibration"]
    return recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": [0]}, "a MiniALBERT has one, applied several times"),
        ({"encoder": None, "layers": [0]}, "only an encoder that is a MiniALBERT has adapters"),
    ],
    ids=["layers of one layer", "adapters of a BERT"],
)
def test_students_that_make_no_sense_are_refused_with_the_reason(
    tmp_path: Path, changes: dict, message: str
) -> None:
    recipe = content(tmp_path)
    recipe["students"]["adapted-tiny"] |= changes

    with pytest.raises(RecipeError, match=message):
        load_recipe(write_recipe(tmp_path, recipe))


def test_layers_of_a_recursive_teacher_are_refused(tmp_path: Path) -> None:
    recipe = content(tmp_path)
    recipe["teachers"]["teacher-tiny"]["encoder"] = recipe["students"]["adapted-tiny"]["encoder"]
    recipe["students"]["adapted-tiny"] |= {"encoder": None, "layers": [0], "trains": "all"}

    with pytest.raises(RecipeError, match=r"adapted-tiny\.layers: teacher-tiny has one layer"):
        load_recipe(write_recipe(tmp_path, recipe))


@pytest.mark.slow
def test_a_recipe_makes_a_package_of_its_own_and_one_on_a_shared_trunk(tmp_path: Path) -> None:
    data = write_corpora(tmp_path / "data")
    recipe = load_recipe(write_recipe(tmp_path, content(write_base(tmp_path / "base"))))
    assert isinstance(recipe, Recipe)
    store, work = tmp_path / "store", tmp_path / "work"

    Road(recipe, data, work, store).run()

    whole, own = (store / f"ner/{name}/1" for name in ("minialbert-tiny", "adapted-tiny"))
    (trunk,) = (store / TRUNKS).iterdir()
    manifest = read_manifest(own)
    assert (read_manifest(whole).trunk, manifest.trunk) == (None, trunk.stem)
    assert {MODEL, ADAPTERS_GRAPH} <= manifest.files.keys()
    package = Package.load(own)
    session = Trunks().open(package)
    replay(package, session)
    assert predict(package, session, ["Ana Pop locuiește la Iași."])
    record = json.loads((own / "eval.json").read_text(encoding="utf-8"))
    compared = record["compared"]
    assert compared["adapted-tiny"]["trained_parameters"] < record["parameters"] / 4
    assert compared["minialbert-tiny"]["trained_parameters"] == record["parameters"]
    folder = next((work / "tiny").glob("adapted-tiny-*"))
    assert (folder / ADAPTERS).exists()
    assert isinstance(TaskModel.load(folder).trunk, MiniAlbertModel)

    # Another recipe's student of the same teacher: the store has it, so it need not register it.
    further = content(tmp_path / "base") | {"register_only": ["adapted-tiny"], "aliases": {}}
    further["students"]["adapted-tiny"]["description"] = "The same, said otherwise."
    again = load_recipe(write_recipe(tmp_path / "again", further))
    assert isinstance(again, Recipe)
    Road(again, data, work, store).run()

    assert read_manifest(store / "ner/adapted-tiny/2").teacher == "ner/teacher-tiny:1"
    assert [path.name for path in (store / "ner/teacher-tiny").iterdir()] == ["1"]
    assert [path.name for path in (store / TRUNKS).iterdir()] == [trunk.name]

    # A teacher that stays out of the store is named without a version.
    further["teachers"]["teacher-tiny"]["stored"] = False
    alone = load_recipe(write_recipe(tmp_path / "alone", further))
    assert isinstance(alone, Recipe)
    Road(alone, data, work, tmp_path / "other").run()

    assert read_manifest(tmp_path / "other/ner/adapted-tiny/1").teacher == "ner/teacher-tiny"
    assert not (tmp_path / "other/ner/teacher-tiny").exists()
