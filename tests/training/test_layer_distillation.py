import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.training.toy_models import toy_masked_lm, toy_masking_tokenizer
from training.encoder_recipe import MiniAlbertRecipe
from training.encoder_training import recurse
from training.errors import StepError
from training.layer_distillation import distil_layers, layer_lesson
from training.loop import LoopSettings
from training.masked_lm import NOT_MASKED
from training.masked_text import Reading
from training.minialbert import MiniAlbertForMaskedLM, start_from
from training.word_blocks import WordMasker, pack_words

TOKENIZER = toy_masking_tokenizer(["Ana", "casa", "Casa", "##le", "mare", "la", "Cluj"])
TEXTS = ["Ana la casale mare", "Casa la Cluj", "mare casa Ana la"] * 20
SILENT = {"masked_lm": 0, "soft": 0}
(BLOCKS,) = pack_words(TEXTS, [TOKENIZER], block_length=16)
TEACHER = toy_masked_lm(TOKENIZER, layers=3)


def recipe(**changes: object) -> MiniAlbertRecipe:
    content = {
        "encoder": {"source": "toy"},
        "layers": [0, 2],
        "embedding_size": 8,
        "adapter_size": 4,
        "text": {"folder": "ro-text", "sources": {"story": 1.0}},
        "block_length": 16,
        "batch_size": 4,
        "tokens": 1,
        "learning_rate": 5e-3,
    }
    return MiniAlbertRecipe.model_validate(content | changes)


def student() -> MiniAlbertForMaskedLM:
    torch.manual_seed(0)
    ids = torch.from_numpy(BLOCKS.ids[:4].astype(np.int64))
    return start_from(TEACHER, layers=[0, 2], embedding_size=8, adapter_size=4, input_ids=ids)


def test_the_loss_equals_its_formula_token_by_token() -> None:
    rows = BLOCKS.rows(slice(6))
    (masked,) = WordMasker([TOKENIZER], share=0.3).mask([rows], np.random.default_rng(3))
    reading, ours = Reading(rows, masked, pad_id=0), student()
    weights = {"masked_lm": 1, "soft": 5, "attention": 3, "hidden": 2, "embeddings": 4}
    found = [
        model.base_model(
            reading.input_ids,
            attention_mask=reading.attention_mask,
            output_hidden_states=True,
            output_attentions=True,
        )
        for model in (ours, TEACHER)
    ]
    real = [tuple(at) for at in torch.nonzero(reading.attention_mask).tolist()]
    labels = reading.labels.view(6, 16)
    hidden = [at for at in real if labels[at] != NOT_MASKED]
    said, taught = (
        model.cls(f.last_hidden_state).detach()
        for model, f in zip((ours, TEACHER), found, strict=True)
    )

    def cosine(i: int, layer: int) -> float:
        a, b = found[0].hidden_states[i], found[1].hidden_states[layer]
        return float(
            np.mean([1 - torch.cosine_similarity(a[at], b[at], dim=0).item() for at in real])
        )

    def divergence(i: int, layer: int) -> float:
        a, b = found[0].attentions[i], found[1].attentions[layer]
        rows = [
            sum(
                q * math.log(q / p)
                for p, q in zip(a[r, h, c].tolist(), b[r, h, c].tolist(), strict=True)
                if q > 0
            )
            for r, c in real
            for h in range(2)
        ]
        return float(np.mean(rows))

    parts = layer_lesson(ours, TEACHER, reading, recipe(weights=weights, temperature=2.0))

    said_log, taught_p = (said / 2).log_softmax(-1), (taught / 2).softmax(-1)
    expected = {
        "attention 0": 3 * divergence(0, 0),
        "attention 1": 3 * divergence(1, 2),
        "hidden 0": 2 * cosine(1, 1),
        "hidden 1": 2 * cosine(2, 3),
        "embeddings": 4 * cosine(0, 0),
        "masked_lm": np.mean([-said[at].log_softmax(-1)[labels[at]].item() for at in hidden]),
        "soft": 5
        * 4
        * np.mean(
            [functional.kl_div(said_log[at], taught_p[at], reduction="sum").item() for at in hidden]
        ),
    }
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("weights", [{}, SILENT], ids=["predicting", "silent"])
def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path, weights: dict) -> None:
    chosen = recipe(weights=weights)

    def end(steps: int) -> dict[str, float]:
        folder = tmp_path / str(steps)
        folder.mkdir()
        *_, last = distil_layers(
            student(),
            TEACHER if chosen.weights.predict else TEACHER.base_model,
            TOKENIZER,
            train=BLOCKS,
            dev=BLOCKS.rows(slice(4)),
            recipe=chosen,
            settings=LoopSettings(total_steps=steps, learning_rate=3e-3),
            seed=1,
            checkpoint=folder / "checkpoint.pt",
        )
        return last

    first, last = end(1), end(30)

    assert last["dev_loss"] < first["dev_loss"]
    assert ("dev_perplexity" in last) is chosen.weights.predict
    assert {"attention 1", "hidden 1", "dev hidden 1"} <= last.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": [1, 3]}, "the teacher has layers 0 to 2"),
        ({"embedding_size": 32}, "embedding_size 32: the teacher is 16 wide"),
    ],
    ids=lambda case: "-".join(case) if isinstance(case, dict) else "",
)
def test_what_the_teacher_does_not_have_is_refused(
    tmp_path: Path, changes: dict, message: str
) -> None:
    TEACHER.save_pretrained(tmp_path / "teacher")
    source = str(tmp_path / "teacher")

    with pytest.raises(StepError, match=message):
        recurse(recipe(**changes), source, data_dir=tmp_path, output=tmp_path, seed=0)
