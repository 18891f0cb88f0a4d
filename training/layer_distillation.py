"""Layer-to-layer distillation of a recursive student (Nouriborji et al. 2023, and their code).

Recursion i learns from layer l_i of its teacher, over real tokens:
    L = masked_lm * CE(word, p_s) + soft * T^2 KL(p_t || p_s)                      at masked tokens
      + sum_i attention * KL(A_t || A_s) + hidden * (1 - cos(h_s, h_t))
      + embeddings * (1 - cos(x_s, x_t))                                           (an ablation's)
Their KL of attention is a mean over all entries of the maps: 1/length of the mean over rows that is
taken here, as a row is a distribution, and its divergence should not fade with its length.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from training.encoder_recipe import MiniAlbertRecipe
from training.general_distillation import cross_entropy, predict
from training.layer_losses import attention_divergence
from training.loop import LoopSettings, device, fit
from training.losses import hidden_cosine, soft_cross_entropy
from training.masked_text import MaskedText, Reading, cut_readings
from training.minialbert import MiniAlbertForMaskedLM
from training.word_blocks import WordBlocks


def layer_lesson(
    student: MiniAlbertForMaskedLM,
    teacher: PreTrainedModel,
    reading: Reading,
    recipe: MiniAlbertRecipe,
) -> dict[str, Tensor]:
    """The weighted terms of the loss on one batch; those of weight 0 are left out.

    Args:
        student: as many recursions as the recipe names layers.
        teacher: a BERT; with its masked-LM head if words are predicted.
        reading: the batch.
        recipe: layers, temperature and weights.
    """
    weights = recipe.weights
    asked = {"output_hidden_states": True, "output_attentions": bool(weights.attention)}
    ids, mask = reading.input_ids, reading.attention_mask
    ours = student.base_model(ids, attention_mask=mask, **asked)
    with torch.no_grad():
        theirs = teacher.base_model(ids, attention_mask=mask, **asked)
    real = mask.bool()

    def cosine(mine: Tensor, taught: Tensor) -> Tensor:
        return hidden_cosine(mine[real].float(), taught[real].float())

    parts: dict[str, Tensor] = {}
    for i, layer in enumerate(recipe.layers):
        if weights.attention:
            maps = ours.attentions[i], theirs.attentions[layer]
            parts[f"attention {i}"] = weights.attention * attention_divergence(*maps, real)
        if weights.hidden:
            states = ours.hidden_states[i + 1], theirs.hidden_states[layer + 1]
            parts[f"hidden {i}"] = weights.hidden * cosine(*states)
    if weights.embeddings:
        states = ours.hidden_states[0], theirs.hidden_states[0]
        parts["embeddings"] = weights.embeddings * cosine(*states)
    if weights.predict:
        at = reading.predicted(restrict_to_masked=True)
        logits = student.cls(ours[0].flatten(0, 1)[at]).float()
        parts["masked_lm"] = weights.masked_lm * cross_entropy(logits, reading.labels[at])
        if weights.soft and len(at):
            said = predict(teacher, theirs[0].flatten(0, 1)[at]) / recipe.temperature
            taught = torch.softmax(said, dim=-1)
            soft = soft_cross_entropy(logits, taught, temperature=recipe.temperature)
            parts["soft"] = weights.soft * soft
    return parts


def distil_layers(
    student: MiniAlbertForMaskedLM,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    train: WordBlocks,
    dev: WordBlocks,
    recipe: MiniAlbertRecipe,
    settings: LoopSettings,
    seed: int,
    checkpoint: Path,
) -> list[dict[str, float]]:
    """Train `student` in place.

    Args:
        student: see training.minialbert.start_from.
        teacher: see `layer_lesson`.
        tokenizer: of both.
        train: blocks.
        dev: blocks of the development text.
        recipe: see `layer_lesson`; words are hidden only if they are predicted.
        settings: of the loop.
        seed: of order, masks and dropout.
        checkpoint: see training.loop.fit.

    Raises:
        StepError: the text does not fill one batch or has no development part; see also fit.

    Returns:
        The history, with every term on the development text (`dev hidden 0`), their sum `dev_loss`
        and, where words are predicted, `dev_perplexity` over the masked ones.
    """
    share = recipe.mask_share if recipe.weights.predict else 0.0
    text = MaskedText([tokenizer], [train], [dev], recipe, share, seed)
    text.check(settings.total_steps)
    teacher.to(device())

    def evaluate() -> dict[str, float]:
        lessons = [layer_lesson(student, teacher, batch, recipe) for (batch,) in text.dev_batches()]
        found = {
            f"dev {name}": float(
                torch.stack([parts[name] for parts in lessons if name in parts]).mean()
            )
            for name in lessons[0]
        }
        result = found | {"dev_loss": sum(found.values())}
        if recipe.weights.masked_lm:
            nats = found["dev masked_lm"] / recipe.weights.masked_lm
            result["dev_perplexity"] = math.exp(nats)
        return result

    def losses(batch: Sequence[Reading]) -> dict[str, Tensor]:
        return layer_lesson(student, teacher, batch[0], recipe)

    return fit(
        student,
        settings,
        batch_at=text.at,
        cut=cut_readings,
        losses=losses,
        evaluate=evaluate,
        checkpoint=checkpoint,
        seed=seed,
        title="layer-to-layer distillation",
    )
