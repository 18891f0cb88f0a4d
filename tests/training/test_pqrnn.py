from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from app.contract.encoded_text import Arrays
from app.contract.heads import ClassHead, ParseHead
from app.contract.projected_text import ProjectionEncoder
from training.fake_quantization import ActivationRange, fake_quantized_weight
from training.pqrnn import Pooling, Pqrnn, PqrnnShape, new_pqrnn
from training.pqrnn_export import export_pqrnn
from training.recurrence import LinearRecurrence
from training.runners import onnx_runner, torch_runner

HEAD = ParseHead(intents=("IN:A", "IN:B"), slots=("O", "B-SL:X", "I-SL:X"))
TEXTS = ["a b c d e f g", "b", "c a", "e e e d c"]


def toy(pooling: Pooling = "fo", *, kernel: int = 2, seed: int = 0, layers: int = 2) -> Pqrnn:
    """A network that has seen some batches, so that its ranges and statistics are not the first."""
    shape = PqrnnShape(
        features=64,
        bottleneck=16,
        state=8,
        layers=layers,
        kernel=kernel,
        pooling=pooling,
        zoneout=0.2,
        dropout=0.0,
        quantize=True,
    )
    model = new_pqrnn(shape, HEAD, seed=seed).train()
    for _ in range(3):
        model(**{name: torch.from_numpy(a) for name, a in batch().items()})
    return model.eval()


def batch(texts: list[str] = TEXTS) -> Arrays:
    encoder = ProjectionEncoder(features=64, case=False, max_tokens=16, stride=0)
    return encoder.collate([text.windows[0] for text in encoder.encode(texts)])


def test_the_recurrence_and_its_gradients_are_those_of_the_loop() -> None:
    torch.manual_seed(0)
    forget, update = (torch.rand(5, 2, 3, dtype=torch.float64, requires_grad=True) for _ in "ab")

    states = LinearRecurrence.apply(forget, update)

    expected = [update[0]]
    for step in range(1, 5):
        expected.append(forget[step] * expected[-1] + update[step])
    assert torch.allclose(states, torch.stack(expected))
    assert torch.autograd.gradcheck(LinearRecurrence.apply, (forget, update))


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_the_graph_is_the_network_in_floats_and_in_integers(
    tmp_path: Path, pooling: Pooling, kernel: int
) -> None:
    """In integers a sum that lies between two steps may be rounded to either."""
    model = toy(pooling, kernel=kernel)
    real = batch()["attention_mask"].astype(bool)
    for quantize, tolerance in ((False, 1e-5), (True, 0.02)):
        model.quantize = quantize
        path = tmp_path / f"{quantize}.onnx"
        export_pqrnn(model, path, quantize=quantize)

        ours, theirs = torch_runner(model)(batch()), onnx_runner(path)(batch())

        assert np.allclose(ours["intent_logits"], theirs["intent_logits"], atol=tolerance)
        slots = ours["slot_logits"][real], theirs["slot_logits"][real]
        assert np.allclose(*slots, atol=tolerance)


def test_integers_take_a_quarter_of_the_space(tmp_path: Path) -> None:
    model = new_pqrnn(
        PqrnnShape(
            features=1024,
            bottleneck=256,
            state=64,
            layers=1,
            kernel=2,
            pooling="fo",
            zoneout=0.0,
            dropout=0.0,
            quantize=True,
        ),
        HEAD,
        seed=0,
    )
    for quantize in (False, True):
        export_pqrnn(model, tmp_path / f"{quantize}.onnx", quantize=quantize)

    small, large = ((tmp_path / f"{q}.onnx").stat().st_size for q in (True, False))
    assert small < 0.28 * large


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
def test_batch_mates_change_no_answer(tmp_path: Path, pooling: Pooling) -> None:
    path = tmp_path / "model.onnx"
    export_pqrnn(toy(pooling), path, quantize=True)
    run = onnx_runner(path)

    together = run(batch())

    for row, text in enumerate(TEXTS):
        alone = run(batch([text]))
        count = len(text.split())
        assert np.allclose(together["intent_logits"][row], alone["intent_logits"][0], atol=1e-4)
        assert np.allclose(together["slot_logits"][row, :count], alone["slot_logits"][0], atol=1e-4)


def test_a_word_is_seen_from_both_sides() -> None:
    model = toy()
    model.quantize = False

    def slots(text: str) -> np.ndarray:
        return torch_runner(model)(batch([text]))["slot_logits"][0, 1]

    assert not np.allclose(slots("a b c"), slots("d b c"))
    assert not np.allclose(slots("a b c"), slots("a b d"))


def test_it_learns_what_a_word_means_in_its_context() -> None:
    """The class is whether "a" comes before "b", which no bag of words can tell."""
    shape = PqrnnShape(
        features=64,
        bottleneck=16,
        state=8,
        layers=1,
        kernel=2,
        pooling="fo",
        zoneout=0.0,
        dropout=0.0,
        quantize=True,
    )
    model = new_pqrnn(shape, ClassHead(labels=("ab", "ba")), seed=1).train()
    texts = ["a c b", "b c a", "c a b c", "c b a c", "a b", "b a", "a c c b", "b c c a"]
    arrays = {name: torch.from_numpy(a) for name, a in batch(texts).items()}
    targets = torch.tensor([0, 1] * 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(**arrays)["logits"], targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    found = torch_runner(model)({name: a.numpy() for name, a in arrays.items()})["logits"]

    assert found.argmax(axis=-1).tolist() == targets.tolist()


def test_a_saved_network_is_read_back(tmp_path: Path) -> None:
    model = toy("ifo")
    model.save(tmp_path)

    again = Pqrnn.load(tmp_path)

    assert Pqrnn.is_in(tmp_path)
    assert not Pqrnn.is_in(tmp_path.parent)
    assert (again.shape, again.head) == (model.shape, model.head)
    ours, theirs = torch_runner(model)(batch()), torch_runner(again)(batch())
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_weights_lie_on_a_grid_of_each_matrix_that_holds_zero() -> None:
    weight = torch.tensor([[-1.0, 0.0, 0.33, 3.0], [0.5, 0.0, 0.7, 1.0]], requires_grad=True)

    found = fake_quantized_weight(weight)
    found.sum().backward()

    steps = found / torch.tensor([[4 / 255], [1 / 255]])
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert (found[:, 1] == 0).all()
    assert torch.allclose(found, weight, atol=4 / 255)
    assert (weight.grad == 1).all()


def test_a_moving_range_follows_batches_and_serves_evaluation() -> None:
    moving = ActivationRange()

    moving(torch.tensor([0.0, 1.0]), quantize=True)
    moving(torch.tensor([-1.0, 3.0]), quantize=True)

    assert (float(moving.low), float(moving.high)) == pytest.approx((-0.01, 1.02))
    assert moving.eval()(torch.tensor([5.0]), quantize=True).item() == pytest.approx(1.02, abs=0.01)
    assert moving(torch.tensor([5.0]), quantize=False).item() == 5.0
