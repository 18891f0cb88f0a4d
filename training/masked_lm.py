"""Masked-language-model pre-training: whole words, masked afresh in every epoch (dynamic).

Devlin et al. 2019, section 3.1, with whole-word masking and the loss computed at the masked
positions only, which saves most of the output layer.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from training.errors import StepError
from training.loop import LoopSettings, device, epoch_order, fit

NOT_MASKED = -100
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the rest stays as it is


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Inputs of shape (batch, length); `labels` has NOT_MASKED where nothing is predicted."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]

    def cut(self, parts: int) -> list[tuple["MaskedBatch", float]]:
        """Every n-th row to the same part, with its share of the rows."""
        rows = range(min(parts, len(self.labels)))
        found = [MaskedBatch(self.input_ids[i::parts], self.labels[i::parts]) for i in rows]
        return [(part, len(part.labels) / len(self.labels)) for part in found]


def pack_blocks(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, *, block_length: int
) -> NDArray[np.int32]:
    """Join texts, separated by the separator token, and cut them into full blocks.

    Returns:
        Token ids, shape (blocks, block_length): each row starts with CLS and ends with SEP.
    """
    inner = block_length - 2
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    rows: list[NDArray[np.int32]] = []
    stream: list[int] = []
    for chunk in chunks(tqdm(texts, desc="tokenize", unit="text", mininterval=10), 1024):
        for encoding in backend.encode_batch_fast(chunk, add_special_tokens=False):
            stream.extend(encoding.ids)
            stream.append(tokenizer.sep_token_id)
        full = len(stream) // inner
        rows.append(np.asarray(stream[: full * inner], np.int32).reshape(full, inner))
        stream = stream[full * inner :]
    body = np.concatenate([np.empty((0, inner), np.int32), *rows])
    blocks = np.empty((len(body), block_length), np.int32)
    blocks[:, 0], blocks[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    blocks[:, 1:-1] = body
    return blocks


class TokenHider:
    """Hides chosen tokens: most become the mask token, some another token, some stay."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Read the vocabulary once."""
        self._mask_id = tokenizer.mask_token_id
        self.special = np.zeros(len(tokenizer), bool)
        self.special[tokenizer.all_special_ids] = True
        self._ordinary = np.flatnonzero(~self.special)

    def hide(
        self,
        input_ids: NDArray[np.int32],
        chosen: NDArray[np.bool_],
        fate: NDArray[np.float64],
        random: np.random.Generator,
    ) -> MaskedBatch:
        """Hide the chosen ones of some tokens.

        Args:
            input_ids: shape (batch, length).
            chosen: same shape.
            fate: same shape, in [0, 1): what becomes of a token that is chosen.
            random: of the tokens that come instead.
        """
        hidden = chosen & (fate < MASK_SHARE)
        replaced = chosen & (fate >= MASK_SHARE) & (fate < MASK_SHARE + RANDOM_SHARE)
        inputs = input_ids.astype(np.int64)
        labels = np.where(chosen, inputs, NOT_MASKED)
        inputs[hidden] = self._mask_id
        inputs[replaced] = random.choice(self._ordinary, int(replaced.sum()))
        return MaskedBatch(inputs, labels)


class WholeWordMasker:
    """Chooses whole words at random and hides their tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, share: float) -> None:
        """Read the vocabulary once.

        Args:
            tokenizer: a token that starts with "##" continues the word before it.
            share: probability of a word to be chosen, in (0, 1).
        """
        self._share = share
        self._hider = TokenHider(tokenizer)
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._continues = np.array([token.startswith("##") for token in tokens])

    def mask(self, input_ids: NDArray[np.int32], random: np.random.Generator) -> MaskedBatch:
        """Mask a batch of blocks, shape (batch, length)."""
        word = np.cumsum(~self._continues[input_ids], axis=1)
        draws = random.random((len(input_ids), input_ids.shape[1] + 1))
        chosen = np.take_along_axis(draws, word, axis=1) < self._share
        chosen &= ~self._hider.special[input_ids]
        return self._hider.hide(input_ids, chosen, random.random(input_ids.shape), random)


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    train_blocks: NDArray[np.int32],
    dev_blocks: NDArray[np.int32],
    settings: LoopSettings,
    batch_size: int,
    mask_share: float,
    seed: int,
    checkpoint: Path,
) -> list[dict[str, float]]:
    """Pre-train `model` in place.

    Raises:
        StepError: the text does not fill one batch or has no development part; see also fit.

    Returns:
        The history, with `dev_loss` (nats per masked token) and `dev_perplexity`, whose masks are
        the same at every evaluation.
    """
    masker = WholeWordMasker(tokenizer, share=mask_share)
    per_epoch = len(train_blocks) // batch_size
    if not per_epoch or not len(dev_blocks) or not settings.total_steps:
        raise StepError(
            f"too little text: {len(train_blocks)} training and {len(dev_blocks)} development "
            f"blocks for batches of {batch_size} and {settings.total_steps} steps"
        )
    orders: dict[int, list[int]] = {}

    def batch_at(step: int) -> MaskedBatch:
        epoch, position = divmod(step, per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = epoch_order(len(train_blocks), epoch=epoch, seed=seed)
        chosen = orders[epoch][position * batch_size : (position + 1) * batch_size]
        return masker.mask(train_blocks[chosen], np.random.default_rng((seed, step)))

    random = np.random.default_rng(seed)
    dev_batches = [
        masker.mask(dev_blocks[start : start + batch_size], random)
        for start in range(0, len(dev_blocks), batch_size)
    ]

    def evaluate() -> dict[str, float]:
        losses, counts = zip(*(_sum_loss(model, batch) for batch in dev_batches), strict=True)
        dev_loss = sum(losses) / sum(counts)
        return {"dev_loss": dev_loss, "dev_perplexity": math.exp(dev_loss)}

    start_from_frequencies(model, train_blocks)
    return fit(
        model,
        settings,
        batch_at=batch_at,
        cut=MaskedBatch.cut,
        losses=lambda batch: {"masked_lm": masked_lm_loss(model, batch)},
        evaluate=evaluate,
        checkpoint=checkpoint,
        seed=seed,
        title="masked-lm",
    )


def masked_lm_loss(model: PreTrainedModel, batch: MaskedBatch) -> Tensor:
    """Mean cross-entropy of a BERT at the masked positions, in nats per token."""
    labels = torch.from_numpy(batch.labels).to(device()).flatten()
    positions = torch.nonzero(labels != NOT_MASKED).squeeze(1)
    hidden = model.base_model(torch.from_numpy(batch.input_ids).to(device()))[0]
    logits = model.cls(hidden.flatten(0, 1)[positions])
    total = functional.cross_entropy(logits.float(), labels[positions], reduction="sum")
    return total / max(1, len(positions))


def start_from_frequencies(model: PreTrainedModel, blocks: NDArray[np.int32]) -> None:
    """Set the output bias to log token frequencies, so that training starts at their entropy."""
    bias = model.get_output_embeddings().bias
    counts = np.bincount(blocks.ravel(), minlength=len(bias)) + 1.0
    bias.data.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def _sum_loss(model: PreTrainedModel, batch: MaskedBatch) -> tuple[float, int]:
    count = int((batch.labels != NOT_MASKED).sum())
    return masked_lm_loss(model, batch).item() * count, count


def chunks(texts: Iterable[str], size: int) -> Iterable[list[str]]:
    """Lists of `size` texts, the last one shorter."""
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
