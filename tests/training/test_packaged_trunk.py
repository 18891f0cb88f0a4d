from pathlib import Path

import pytest
import torch
from transformers import BertForMaskedLM

from app.contract.heads import ClassHead
from app.contract.manifest import MODEL, TOKENIZER
from tests.training.toy_models import toy_masked_lm, toy_masking_tokenizer
from training.errors import StepError
from training.export import export_model, store_fp16
from training.packaged_trunk import load_packaged_trunk
from training.task_model import TaskModel

TOKENS = toy_masking_tokenizer(["la", "Ana", "Ion"])


def packaged(folder: Path, model: BertForMaskedLM, *, half: bool = False) -> Path:
    """What a package of the store has of a model: its graph and its tokenizer."""
    folder.mkdir()
    for weights in model.parameters():
        # The exporter writes weights that are equal once; those of a trained model all differ.
        weights.data += 0.01 * torch.randn(weights.shape)
    TOKENS.backend_tokenizer.save(str(folder / TOKENIZER))
    trunk = TaskModel(model.bert, ClassHead(labels=("a", "b")))
    export_model(trunk, folder / MODEL)
    if half:
        store_fp16(folder / MODEL, folder / MODEL)
    return folder


@pytest.mark.parametrize(("half", "tolerance"), [(False, 0.0), (True, 1e-3)])
def test_a_trunk_comes_back_as_it_was_exported(
    tmp_path: Path, half: bool, tolerance: float
) -> None:
    exported, fresh = toy_masked_lm(TOKENS, seed=1), toy_masked_lm(TOKENS, seed=2)
    package = packaged(tmp_path / "package", exported, half=half)

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
