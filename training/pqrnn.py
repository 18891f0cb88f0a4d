"""pQRNN: projected words, a bottleneck, bidirectional quasi-recurrent layers, a head.

Kaliamoorthi et al. 2021, arXiv 2101.08890; the layers of Bradbury et al. 2017, arXiv 1611.01576, on
windows of `kernel` words, each direction seeing its own past. It is trained as it will be served:
what integer kernels read and the weights they read it with are on 8-bit grids (training.
fake_quantization), gates and states are in float.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from app.contract.heads import Head
from app.contract.projection import TERNARY
from training.fake_quantization import ActivationRange, fake_quantized_weight
from training.recurrence import LinearRecurrence
from training.task_model import HIDDEN, read_head, write_head

Pooling = Literal["f", "fo", "ifo"]
GATES: dict[Pooling, int] = {"f": 2, "fo": 3, "ifo": 4}
"""Gates of each pooling, in the order z, f, o, i."""
SETTINGS, WEIGHTS = "pqrnn.json", "pqrnn.safetensors"
MOMENTUM = 0.01
"""Of the moving statistics of batch normalization."""
UNSEEN = -1e6
"""Logit of attention on padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PqrnnShape:
    """Sizes of the network.

    Attributes:
        features: of each word.
        bottleneck: width behind them.
        state: width of each direction of a layer.
        layers: of them.
        kernel: words that a gate reads, its own and those before it.
        pooling: gates of a layer.
        zoneout: probability that a state of the first layer stays as it is in training; its l-th
            power in layer l.
        dropout: before the head.
        quantize: whether training sees the 8-bit grids.
    """

    features: int
    bottleneck: int
    state: int
    layers: int
    kernel: int
    pooling: Pooling
    zoneout: float
    dropout: float
    quantize: bool

    @property
    def hidden(self) -> int:
        """Width of the last layer's output: both directions."""
        return 2 * self.state


_SHAPE = TypeAdapter(PqrnnShape)


class Pqrnn(nn.Module):
    """The network; outputs of words are read off the last layer, those of texts off attention."""

    ternary: Tensor

    def __init__(self, shape: PqrnnShape, head: Head) -> None:
        """Start from random weights."""
        super().__init__()
        self.shape = shape
        self.head = head
        self.quantize = shape.quantize
        self.register_buffer("ternary", torch.from_numpy(TERNARY.astype("float32")), False)
        self.bottleneck = Normalized(1, shape.features, shape.bottleneck)
        self.bottleneck_range = ActivationRange()
        inputs = [shape.bottleneck] + [shape.hidden] * (shape.layers - 1)
        self.layers = nn.ModuleList(
            QrnnLayer(width, shape, zoneout=shape.zoneout**level)
            for level, width in enumerate(inputs, start=1)
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.attention = Dense(shape.hidden, 1)
        self.pooled_range = ActivationRange() if shape.pooling == "ifo" else ActivationRange(-1, 1)
        self.outputs = nn.ModuleDict(
            {output.name: Dense(shape.hidden, output.width or 1) for output in head.outputs}
        )

    @property
    def hidden_size(self) -> int:
        """Width of the last hidden states."""
        return self.shape.hidden

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.ternary.device

    def forward(self, features: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Run a batch.

        Args:
            features: four in a byte, uint8, shape (rows, length, bytes).
            attention_mask: 1 for words, 0 for padding, shape (rows, length).

        Returns:
            The head's outputs by name, and the last hidden states, (rows, length, 2 * state).
        """
        mask = attention_mask.bool().T
        words = _Words(mask)
        packed = features.transpose(0, 1)[mask]
        unpacked = functional.embedding(packed.int(), self.ternary).flatten(1)
        narrow = functional.relu(self.bottleneck(unpacked, quantize=self.quantize))
        values = words.placed(self.bottleneck_range(narrow, quantize=self.quantize))
        for layer in self.layers:
            values = layer(values, words, quantize=self.quantize)
        hidden = values.transpose(0, 1)
        kept = self.dropout(hidden)
        logits = self.attention(kept, quantize=self.quantize).squeeze(-1).float()
        share = logits.masked_fill(~attention_mask.bool(), UNSEEN).softmax(dim=1)
        pooled = (share.unsqueeze(-1) * kept).sum(dim=1)
        pooled = self.pooled_range(pooled, quantize=self.quantize)
        results = {HIDDEN: hidden}
        for output in self.head.outputs:
            source = kept if output.per_token else pooled
            results[output.name] = self.outputs[output.name](source, quantize=self.quantize)
        return results

    def save(self, folder: Path) -> None:
        """Write settings and weights."""
        save_file(self.state_dict(), folder / WEIGHTS)
        (folder / SETTINGS).write_bytes(_SHAPE.dump_json(self.shape, indent=1))
        write_head(self.head, folder)

    @classmethod
    def load(cls, folder: Path) -> "Pqrnn":
        """Read what `save` wrote."""
        shape = _SHAPE.validate_json((folder / SETTINGS).read_bytes())
        model = cls(shape, read_head(folder))
        model.load_state_dict(load_file(folder / WEIGHTS))
        return model

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        """Whether `save` wrote to a folder."""
        return (folder / SETTINGS).exists()


class _Words:
    """Where the words of a batch are; padding is neither multiplied nor normalized.

    Arrays are (length, rows, ...), so that a step of time lies together.
    """

    def __init__(self, mask: Tensor) -> None:
        """Take the mask, shape (length, rows)."""
        self.mask = mask
        self._at = mask.flatten().nonzero().squeeze(1)

    def placed(self, values: Tensor) -> Tensor:
        """Values of the words, (words, width), in their places; zeros elsewhere."""
        flat = values.new_zeros(self.mask.numel(), values.shape[-1])
        return flat.index_copy(0, self._at, values).view(*self.mask.shape, -1)

    def of(self, placed: Tensor) -> Tensor:
        """What stands at the words, (words, width)."""
        return placed.flatten(0, 1).index_select(0, self._at)


class Dense(nn.Module):
    """A linear map whose weights may be on a grid."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Glorot-uniform weights, no bias."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.weight[0])

    def forward(self, values: Tensor, *, quantize: bool) -> Tensor:
        """Shape (..., inputs) to (..., outputs)."""
        weight = fake_quantized_weight(self.weight) if quantize else self.weight
        return values @ weight[0] + self.bias


class Normalized(nn.Module):
    """Matrices side by side, each on a grid of its own, and batch normalization behind them."""

    def __init__(self, matrices: int, inputs: int, outputs: int) -> None:
        """Glorot-uniform weights.

        Args:
            matrices: that share the input.
            inputs: width.
            outputs: width of each.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(matrices, inputs, outputs))
        for matrix in self.weight:
            nn.init.xavier_uniform_(matrix)
        self.normalization = nn.BatchNorm1d(matrices * outputs)

    def forward(self, values: Tensor, *, quantize: bool) -> Tensor:
        """Shape (words, inputs) to (words, matrices * outputs)."""
        weight = fake_quantized_weight(self.weight) if quantize else self.weight
        joined = weight.transpose(0, 1).flatten(1)
        # The mean of all batches until there are as many as the moving average remembers.
        seen = int(self.normalization.num_batches_tracked)
        self.normalization.momentum = max(MOMENTUM, 1 / (seen + 1))
        return self.normalization((values @ joined).float())


class QrnnLayer(nn.Module):
    """One bidirectional layer: gates from windows of words, then the recurrence."""

    def __init__(self, inputs: int, shape: PqrnnShape, *, zoneout: float) -> None:
        """Start from random weights.

        Args:
            inputs: width.
            shape: of the network.
            zoneout: of this layer.
        """
        super().__init__()
        self.kernel = shape.kernel
        self.pooling: Pooling = shape.pooling
        self.zoneout = zoneout
        gates = GATES[shape.pooling]
        self.directions = nn.ModuleList(
            Normalized(gates, shape.kernel * inputs, shape.state) for _ in range(2)
        )
        self.range = ActivationRange() if shape.pooling == "ifo" else ActivationRange(-1, 1)

    def forward(self, values: Tensor, words: _Words, *, quantize: bool) -> Tensor:
        """Shape (length, rows, inputs) to (length, rows, 2 * state), zeros on padding."""
        parts = [
            self._gates(gates(words.of(window), quantize=quantize))
            for gates, window in zip(self.directions, self._windows(values), strict=True)
        ]
        # Time runs backwards for the second direction.
        change, update = (
            torch.cat([words.placed(one), words.placed(two).flip(0)], dim=-1)
            for one, two in zip(*(part[:2] for part in parts), strict=True)
        )
        states = LinearRecurrence.apply(1 - change, update)
        one, two = states.chunk(2, dim=-1)
        merged = words.of(torch.cat([one, two.flip(0)], dim=-1))
        if self.pooling != "f":
            merged = merged * torch.cat([output for _, _, output in parts], dim=-1)
        return words.placed(self.range(merged, quantize=quantize))

    def _gates(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How much of a state changes, to what, and its output gate; (words, state) each."""
        z, *gates = values.chunk(GATES[self.pooling], dim=-1)
        free = torch.ones_like(z)
        if self.training and self.zoneout:
            free = (torch.rand_like(z) >= self.zoneout).to(z.dtype)
        change = torch.sigmoid(-gates[0]) * free
        taken = torch.sigmoid(gates[2]) * free if self.pooling == "ifo" else change
        output = free if self.pooling == "f" else torch.sigmoid(gates[1])
        return change, taken * torch.tanh(z), output

    def _windows(self, values: Tensor) -> Iterator[Tensor]:
        """The last `kernel` words of each direction, (length, rows, kernel * inputs)."""
        length, reach = len(values), self.kernel - 1
        padded = functional.pad(values, (0, 0, 0, 0, reach, reach))
        for first in (0, reach):
            taps = [padded[first + tap : first + tap + length] for tap in range(self.kernel)]
            yield torch.cat(taps, dim=-1)


def new_pqrnn(shape: PqrnnShape, head: Head, *, seed: int) -> Pqrnn:
    """A network with fresh weights."""
    torch.manual_seed(seed)
    return Pqrnn(shape, head)
