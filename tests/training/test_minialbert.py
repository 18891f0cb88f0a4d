from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from app.contract.heads import AnswerHead, ClassHead, Head, ScoreHead, SpanHead, VectorHead
from tests.training.toy_models import toy_masked_lm, toy_masking_tokenizer, toy_minialbert
from training.minialbert import Adapter, MiniAlbertConfig, MiniAlbertModel, start_from
from training.task_model import TaskModel, load_trunk

IDS = torch.tensor([[2, 5, 6, 7, 3], [2, 6, 6, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])


def test_parameters_are_those_of_the_paper() -> None:
    """Vocabulary 30,522, E = 128, r = 16: embeddings 3.97 M, projector 0.10 M, one layer 7.09 M,
    twelve adapters of 76,080: 12.07 M (methods of the paper, counted by hand)."""
    with torch.device("meta"):
        model = MiniAlbertModel(MiniAlbertConfig(vocab_size=30_522, num_hidden_layers=6))

    count = sum(p.numel() for p in model.parameters())
    adapters = [m for m in model.modules() if isinstance(m, Adapter)]
    assert count / 1e6 == pytest.approx(12.07, abs=0.01)
    assert len(adapters) == 12
    assert sum(p.numel() for p in adapters[0].parameters()) == 76_080


def test_recursions_share_a_layer_and_have_adapters_of_their_own() -> None:
    """By hand: each recursion is adapter, attention, adapter, feed-forward."""
    model = toy_minialbert()
    layer, x = model.layer, model.projector(model.embeddings(IDS[:1]))
    for i in range(3):
        x = layer.attention(model.adapters["attention"][i](x))[0]
        x = model.adapters["feed_forward"][i](x)
        x = layer.output(layer.intermediate(x), x)

    found = model(IDS[:1], output_hidden_states=True, output_attentions=True)

    torch.testing.assert_close(found.last_hidden_state, x)
    assert [h.shape for h in found.hidden_states] == [(1, 5, 16)] * 4
    assert [a.shape for a in found.attentions] == [(1, 2, 5, 5)] * 3


def test_padding_changes_nothing() -> None:
    model = toy_minialbert()

    both = model(IDS, MASK)[0]

    torch.testing.assert_close(both[1, :4], model(IDS[1:, :4])[0][0])


def test_a_saved_encoder_is_found_by_auto_model(tmp_path: Path) -> None:
    model = toy_minialbert()
    model.save_pretrained(tmp_path)

    again = load_trunk(str(tmp_path)).eval()

    assert type(AutoModel.from_pretrained(tmp_path)) is type(again) is MiniAlbertModel
    torch.testing.assert_close(again(IDS, MASK)[0], model(IDS, MASK)[0])


@pytest.mark.parametrize(
    "head",
    [
        SpanHead(labels=("O", "B-X", "I-X")),
        ClassHead(labels=("a", "b")),
        ScoreHead(),
        VectorHead(width=16),
        AnswerHead(),
    ],
    ids=lambda head: head.kind,
)
def test_a_task_model_with_any_head_is_saved_and_loaded(tmp_path: Path, head: Head) -> None:
    model = TaskModel(toy_minialbert(), head).eval()
    model.save(tmp_path)

    again = TaskModel.load(tmp_path).eval()

    expected = model(IDS, MASK)
    assert again.head == head
    for name, values in again(IDS, MASK).items():
        torch.testing.assert_close(values, expected[name])


def test_a_student_begins_near_its_teacher() -> None:
    """One layer, full width: nothing is lost, and adapters are the identity but for rounding of
    their norms, so embeddings are the teacher's and hidden states nearly."""
    tokenizer = toy_masking_tokenizer(list("abcdefghijklmnopqrst"))
    teacher = toy_masked_lm(tokenizer, layers=1)
    ids = torch.randint(5, 25, (16, 12), generator=torch.Generator().manual_seed(0))

    student = start_from(teacher, layers=[0], embedding_size=16, adapter_size=4, input_ids=ids)

    theirs = teacher.base_model(ids, output_hidden_states=True).hidden_states
    ours = student.base_model(ids, output_hidden_states=True).hidden_states
    assert not student.training
    for i, least in ((0, 0.95), (1, 0.9)):
        cosines = torch.cosine_similarity(ours[i], theirs[i], dim=-1)
        assert cosines.mean() > least
    torch.testing.assert_close(student.cls.state_dict(), teacher.cls.state_dict())
