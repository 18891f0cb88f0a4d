from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import BertForMaskedLM

from app.contract.heads import ClassHead
from app.contract.manifest import MODEL, TOKENIZER
from tests.training.tiny_corpus import recipe_content, write_recipe
from tests.training.tiny_parallel import sentence_content
from tests.training.toy_models import toy_masked_lm, toy_masking_tokenizer
from training import run
from training.encoder_recipe import EncoderRecipe
from training.errors import StepError
from training.export import export_model, store_int8
from training.packaged_weights import load_packaged_trunk
from training.recipe import Recipe
from training.recipe_file import load_recipe
from training.run import Road
from training.task_model import TaskModel

TOKENS = toy_masking_tokenizer(["la", "Ana", "Ion"])


def store_fp16(source: Path, target: Path) -> None:
    """As teachers were stored before: matrices in fp16, a Cast behind each."""
    model = onnx.load(source)
    nodes = []
    for tensor in list(model.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2:
            half = f"{tensor.name}_fp16"
            nodes.append(helper.make_node("Cast", [half], [tensor.name], to=TensorProto.FLOAT))
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, half))
    model.graph.node.extend(nodes)
    onnx.save(model, target)


def packaged(
    folder: Path, model: BertForMaskedLM, *, store: Callable[[Path, Path], None] | None = None
) -> Path:
    """What a package of the store has of a model: its graph and its tokenizer."""
    folder.mkdir()
    for weights in model.parameters():
        # The exporter writes weights that are equal once; those of a trained model all differ.
        weights.data += 0.01 * torch.randn(weights.shape)
    TOKENS.backend_tokenizer.save(str(folder / TOKENIZER))
    trunk = TaskModel(model.bert, ClassHead(labels=("a", "b")))
    export_model(trunk, folder / MODEL)
    if store:
        store(folder / MODEL, folder / MODEL)
    return folder


@pytest.mark.parametrize(
    ("store", "tolerance"), [(None, 0.0), (store_fp16, 1e-3), (store_int8, 2e-3)]
)
def test_a_trunk_comes_back_as_it_was_exported(
    tmp_path: Path, store: Callable[[Path, Path], None] | None, tolerance: float
) -> None:
    exported, fresh = toy_masked_lm(TOKENS, seed=1), toy_masked_lm(TOKENS, seed=2)
    package = packaged(tmp_path / "package", exported, store=store)

    tokenizer = load_packaged_trunk(fresh, package)

    assert tokenizer.get_vocab() == TOKENS.get_vocab()
    assert tokenizer.mask_token_id == TOKENS.mask_token_id
    before, after = exported.bert.state_dict(), fresh.bert.state_dict()
    assert before.keys() == after.keys()
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, rtol=0, atol=tolerance)
    assert fresh.get_output_embeddings().weight is fresh.get_input_embeddings().weight


def test_a_trunk_of_another_shape_is_refused(tmp_path: Path) -> None:
    package = packaged(tmp_path / "package", toy_masked_lm(TOKENS, width=32))

    with pytest.raises(StepError, match=r"embeddings.*\(8, 32\).* not the \(8, 16\) of base"):
        load_packaged_trunk(toy_masked_lm(TOKENS), package)


def test_a_package_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="git restore"):
        load_packaged_trunk(toy_masked_lm(TOKENS), tmp_path / "gone")


def test_a_model_of_the_store_needs_the_shape_of_its_encoder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = sentence_content(tmp_path / "encoder", tmp_path / "english")
    content = recipe_content(tmp_path)
    teacher = content["teachers"]["teacher-tiny"] | {"encoder": {"recipe": sentences}}
    asked = []

    def ready(encoder: EncoderRecipe, **_: object) -> str:
        asked.append(encoder)
        return ""

    monkeypatch.setattr(run, "ready_encoder", ready)
    for registered in (None, "ner/teacher-tiny/1"):
        content["teachers"]["teacher-tiny"] = teacher | {"registered": registered}
        recipe = load_recipe(write_recipe(tmp_path, content))
        assert isinstance(recipe, Recipe)
        Road(recipe, tmp_path, tmp_path, tmp_path)._encoders_step()

    trained, shaped = asked
    assert trained.recipe
    assert trained.recipe.sentences
    assert shaped.source == str(tmp_path / "encoder")
