import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    PreTrainedTokenizerFast,
)
from transformers.modeling_utils import PreTrainedModel

from tests.training.toy_models import toy_masked_lm, toy_masking_tokenizer
from training.encoder_recipe import DistilRecipe
from training.errors import StepError
from training.general_distillation import Teacher, distil_encoder, lesson, load_teacher
from training.loop import LoopSettings
from training.masked_lm import NOT_MASKED
from training.masked_text import Reading
from training.student import copy_layers
from training.word_blocks import WordBlocks, WordMasker, pack_words

CASED = toy_masking_tokenizer(["Ana", "casa", "Casa", "##le", "mare", "la", "Cluj"])
UNCASED = toy_masking_tokenizer(["an", "##a", "casa", "##le", "mare", "la", "cluj"], lowercase=True)
BOTH = (CASED, UNCASED)
TEXTS = ["Ana la casale mare", "Casa la Cluj", "mare casa Ana la"] * 20
T = 2.0


def recipe(**changes: object) -> DistilRecipe:
    content = {
        "teachers": [{"source": "toy"}],
        "layers": [1],
        "text": {"folder": "ro-text", "sources": {"story": 1.0}},
        "block_length": 16,
        "batch_size": 4,
        "tokens": 1,
        "learning_rate": 5e-3,
    }
    return DistilRecipe.model_validate(content | changes)


def masked_readings(
    tokenizers: Sequence[PreTrainedTokenizerFast], *, rows: int = 6
) -> tuple[list[WordBlocks], list[Reading]]:
    blocks = [b.rows(slice(rows)) for b in pack_words(TEXTS, tokenizers, block_length=16)]
    masked = WordMasker(tokenizers, share=0.3).mask(blocks, np.random.default_rng(3))
    return blocks, [Reading(b, m, pad_id=0) for b, m in zip(blocks, masked, strict=True)]


def answers(model: PreTrainedModel, reading: Reading) -> tuple[Tensor, Tensor]:
    """Logits and last hidden states of every position, by the model as a whole."""
    found = model(
        reading.input_ids, attention_mask=reading.attention_mask, output_hidden_states=True
    )
    return found.logits.flatten(0, 1).detach(), found.hidden_states[-1].flatten(0, 1).detach()


def kl(taught: Tensor, said: Tensor) -> float:
    """T^2 KL(taught || said) of two logit vectors, term by term."""
    p, q = torch.softmax(taught / T, -1), torch.softmax(said / T, -1)
    return T**2 * sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True))


def cosine(a: Tensor, b: Tensor) -> float:
    return 1 - float(a @ b / a.norm() / b.norm())


@pytest.mark.parametrize("restrict_to_masked", [False, True])
def test_the_loss_of_one_teacher_equals_its_formula_token_by_token(
    restrict_to_masked: bool,
) -> None:
    teacher, student = toy_masked_lm(CASED), toy_masked_lm(CASED, layers=1, seed=1)
    _, (reading,) = masked_readings([CASED])
    says, hidden = answers(student, reading)
    taught, taught_hidden = answers(teacher, reading)
    real = torch.nonzero(reading.attention_mask.flatten()).flatten().tolist()
    masked = [i for i in real if reading.labels[i] != NOT_MASKED]

    parts = lesson(
        student, [Teacher(teacher)], [reading], recipe(restrict_to_masked=restrict_to_masked)
    )

    asked = masked if restrict_to_masked else real
    assert 0 < len(masked) < len(real)
    expected = {
        "soft 1": 5 * np.mean([kl(taught[i], says[i]) for i in asked]),
        "masked_lm": 2 * functional.cross_entropy(says[masked], reading.labels[masked]).item(),
        "hidden 1": np.mean([cosine(hidden[i], taught_hidden[i]) for i in real]),
    }
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("restrict_to_masked", [False, True])
def test_the_loss_of_two_vocabularies_equals_its_formula_word_by_word(
    restrict_to_masked: bool,
) -> None:
    """Shared words: casa (Casa, casa), mare, la, cluj; Ana is two tokens in the second vocabulary
    and casale two in both, so neither is compared there."""
    student = toy_masked_lm(CASED, layers=1, seed=1)
    first, second = toy_masked_lm(CASED, seed=2), toy_masked_lm(UNCASED, width=8, seed=3)
    blocks, readings = masked_readings(BOTH)
    other = Teacher.second(second, UNCASED, student=student, student_tokenizer=CASED)
    assert other.projection is not None
    torch.nn.init.normal_(other.projection.weight)
    says, hidden = answers(student, readings[0])
    of_first, hidden_first = answers(first, readings[0])
    of_second, hidden_second = answers(second, readings[1])
    projected = hidden @ other.projection.weight.detach().T
    columns = [CASED.convert_tokens_to_ids(t) for t in ("casa", "mare", "la", "Cluj")]
    casa, big = CASED.convert_tokens_to_ids("casa"), CASED.convert_tokens_to_ids("Casa")
    shared = [UNCASED.convert_tokens_to_ids(t) for t in ("casa", "mare", "la", "cluj")]
    real = torch.nonzero(readings[0].attention_mask.flatten()).flatten().tolist()
    asked = [i for i in real if not restrict_to_masked or readings[0].labels[i] != NOT_MASKED]
    of_words, of_hidden_first, of_hidden_second = [], [], []
    for row, word in {(r, w) for r in range(6) for w in set(blocks[0].words[r].tolist()) - {-1}}:
        ours = [row * 16 + int(c) for c in np.flatnonzero(blocks[0].words[row] == word)]
        theirs = [row * 16 + int(c) for c in np.flatnonzero(blocks[1].words[row] == word)]
        mean = hidden_second[theirs].mean(0)
        of_hidden_first.append(cosine(hidden[ours].mean(0), hidden_first[ours].mean(0)))
        of_hidden_second.append(cosine(projected[ours].mean(0), mean))
        if len(ours) == len(theirs) == 1 and ours[0] in asked:
            z = says[ours[0]]
            merged = z[columns].clone()
            merged[0] = T * math.log(math.exp(z[casa] / T) + math.exp(z[big] / T))
            of_words.append(kl(of_second[theirs[0]][shared], merged))

    parts = lesson(
        student,
        [Teacher(first), other],
        readings,
        recipe(restrict_to_masked=restrict_to_masked, weights={"soft": 5, "hidden": 3}),
    )

    found = {name: part.item() for name, part in parts.items()}
    assert len(of_words) > 3
    assert found["soft 1"] == pytest.approx(
        2.5 * np.mean([kl(of_first[i], says[i]) for i in asked]), rel=1e-4
    )
    assert found["soft 2"] == pytest.approx(2.5 * np.mean(of_words), rel=1e-4)
    assert found["hidden 1"] == pytest.approx(1.5 * np.mean(of_hidden_first), rel=1e-4)
    assert found["hidden 2"] == pytest.approx(1.5 * np.mean(of_hidden_second), rel=1e-4)


def test_only_student_and_projection_are_trained() -> None:
    student = toy_masked_lm(CASED, layers=1, seed=1)
    first, second = toy_masked_lm(CASED), toy_masked_lm(UNCASED, seed=2)
    other = Teacher.second(second, UNCASED, student=student, student_tokenizer=CASED)
    _, readings = masked_readings(BOTH)

    sum(lesson(student, [Teacher(first), other], readings, recipe()).values()).backward()

    assert other.projection is not None
    assert other.projection.weight.grad is not None
    assert all(p.grad is None for model in (first, second) for p in model.parameters())
    assert all(p.grad is not None for p in student.parameters())


class Interrupted(Exception):
    """Stands for a session that ends in the middle."""


class InterruptedBlocks(WordBlocks):
    """Blocks that end the session when they are asked for the seventh time: the fourth batch."""

    asked = 0

    def rows(self, chosen: Sequence[int] | slice) -> WordBlocks:
        type(self).asked += 1
        if self.asked == 7:
            raise Interrupted
        return super().rows(chosen)


def distilled(
    folder: Path, *, steps: int, stop: bool = False, checkpoint_seconds: float = 180
) -> tuple[PreTrainedModel, list]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    first, second = toy_masked_lm(CASED), toy_masked_lm(UNCASED, seed=2)
    student = copy_layers(first, [1])
    other = Teacher.second(second, UNCASED, student=student, student_tokenizer=CASED)
    blocks = pack_words(TEXTS, BOTH, block_length=16)
    InterruptedBlocks.asked = 0
    train = [InterruptedBlocks(b.ids, b.words) for b in blocks] if stop else blocks
    history = distil_encoder(
        student,
        [Teacher(first), other],
        BOTH,
        train=train,
        dev=[b.rows(slice(4)) for b in blocks],
        recipe=recipe(),
        settings=LoopSettings(
            total_steps=steps, learning_rate=5e-3, checkpoint_seconds=checkpoint_seconds
        ),
        seed=1,
        checkpoint=folder / "checkpoint.pt",
    )
    return student, history


def test_a_resumed_distillation_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    expected, history = distilled(tmp_path / "whole", steps=5)

    with pytest.raises(Interrupted):
        distilled(tmp_path / "parts", steps=5, stop=True, checkpoint_seconds=0)
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    resumed, again = distilled(tmp_path / "parts", steps=5)

    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=0, atol=0)
    assert again[-1]["dev_loss"] == history[-1]["dev_loss"]


def test_a_student_comes_nearer_to_its_teachers(tmp_path: Path) -> None:
    _, start = distilled(tmp_path / "start", steps=1)

    _, end = distilled(tmp_path / "end", steps=20)

    assert end[-1]["dev_loss"] < start[-1]["dev_loss"]
    assert end[-1]["teacher_perplexity"] == start[-1]["teacher_perplexity"] > 1
    assert {"soft 1", "soft 2", "hidden 1", "hidden 2", "masked_lm"} <= end[-1].keys()


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    student = toy_masked_lm(CASED, layers=1)
    none = [b.rows(slice(0)) for b in pack_words(TEXTS, [CASED], block_length=16)]

    with pytest.raises(StepError, match="too little text: 0 training"):
        distil_encoder(
            student,
            [Teacher(toy_masked_lm(CASED))],
            [CASED],
            train=none,
            dev=none,
            recipe=recipe(),
            settings=LoopSettings(total_steps=1, learning_rate=1e-3),
            seed=1,
            checkpoint=tmp_path / "checkpoint.pt",
        )


def test_a_teacher_that_is_no_bert_is_refused(tmp_path: Path) -> None:
    config = DistilBertConfig(vocab_size=20, dim=8, n_layers=1, n_heads=2, hidden_dim=8)
    DistilBertForMaskedLM(config).save_pretrained(tmp_path)

    with pytest.raises(StepError, match="a BERT is needed to learn from, got distilbert"):
        load_teacher(str(tmp_path))


def test_a_teacher_without_a_masked_lm_head_is_refused(tmp_path: Path) -> None:
    model = toy_masked_lm(CASED)
    BertModel(model.config).save_pretrained(tmp_path / "bare")
    model.save_pretrained(tmp_path / "whole")

    with pytest.raises(StepError, match="bare has no masked-LM head"):
        load_teacher(str(tmp_path / "bare"))

    teacher = load_teacher(str(tmp_path / "whole"))
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
