"""Teachers that somebody has fine-tuned: Hugging Face models with a head of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.modeling_utils import PreTrainedModel

from app.contract.heads import AnswerHead, ClassHead, Head, ScoreHead, SpanHead, TagHead
from training.errors import StepError
from training.hub import resolve_model
from training.task_model import FirstToken, TaskModel, encoder_layers

PARITY = 1e-5
"""Largest allowed difference of a logit from the model as it was published."""
ANSWER_ROWS = {"start_logits": [0], "end_logits": [1]}
"""Of the last layer of a reader."""
PROBE = torch.tensor([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]])
"""Ids that every vocabulary has."""


def ready_model(source: str, head: Head) -> TaskModel:
    """A fine-tuned model with its outputs in the order of a head's labels.

    Args:
        source: see training.hub.resolve_model.
        head: of the recipe; of one output.

    Raises:
        StepError: it cannot be read, has no trained head, is of an unknown architecture, or its
            labels are not the recipe's.
    """
    published = _read(source, head).eval()
    names = published.config.id2label
    if isinstance(head, AnswerHead):
        rows = ANSWER_ROWS
    else:
        rows = {"logits": label_order(source, [names[i] for i in range(len(names))], head)}
    layer, mask = _last_layer(published, source), torch.ones_like(PROBE)
    first_token = _first_token(published, head)
    with torch.no_grad():
        theirs = published(input_ids=PROBE, attention_mask=mask)
        trunk = published.base_model
        if hasattr(trunk, "pooler"):
            trunk.pooler = None  # its layer is the first token's now
        model = TaskModel(trunk, head, first_token=first_token).eval()
        encoder_layers(model)  # refuses what no student could be made of
        for name, order in rows.items():
            model.outputs[name].weight.copy_(layer.weight[order])
            model.outputs[name].bias.copy_(layer.bias[order])
        ours = model(PROBE, mask)
        gap = max(
            float((ours[name] - _ordered(theirs[name], order, head)).abs().max())
            for name, order in rows.items()
        )
    if not gap <= PARITY:
        raise StepError(
            f"{source}: {type(published).__name__} reads its texts in a way that is unknown here "
            f"(logits differ by {gap:.3g}); BERT, RoBERTa and DistilBERT are known"
        )
    return model


def _ordered(logits: Tensor, order: list[int], head: Head) -> Tensor:
    """Logits of labels as the recipe has them; those of starts and ends have no labels."""
    return logits if isinstance(head, AnswerHead) else logits[..., order]


def label_order(source: str, labels: Sequence[str], head: Head) -> list[int]:
    """For each label of a head its place among a model's own.

    Raises:
        StepError: the two are not the same set; lists both.
    """
    if isinstance(head, ScoreHead):
        if len(labels) != 1:
            raise StepError(f"{source}: a score needs one output, it has {len(labels)}")
        return [0]
    assert isinstance(head, TagHead | SpanHead | ClassHead)
    if sorted(labels) != sorted(head.labels):
        raise StepError(
            f"{source} has other labels than the recipe's data; its own: {', '.join(labels)}; "
            f"the recipe's: {', '.join(head.labels)}"
        )
    return [labels.index(label) for label in head.labels]


def _read(source: str, head: Head) -> PreTrainedModel:
    match head:
        case TagHead() | SpanHead():
            kind = AutoModelForTokenClassification
        case AnswerHead():
            kind = AutoModelForQuestionAnswering
        case _:
            kind = AutoModelForSequenceClassification
    try:
        model, loaded = kind.from_pretrained(
            resolve_model(source), attn_implementation="eager", output_loading_info=True
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise StepError(f"{source} cannot be read as a fine-tuned model: {reason}") from error
    if loaded["missing_keys"]:
        missing = ", ".join(sorted(loaded["missing_keys"])[:3])
        raise StepError(
            f"{source} is not fine-tuned for this task, {missing} are missing; give it as "
            "encoder: {source: ...} with stages"
        )
    return model


def _first_token(model: PreTrainedModel, head: Head) -> FirstToken | None:
    """What reads a text off its first token; None for outputs of words."""
    if isinstance(head, TagHead | SpanHead | AnswerHead):
        return None
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is not None:
        return FirstToken(pooler.dense, "tanh")
    if hasattr(model, "pre_classifier"):
        return FirstToken(model.pre_classifier, "relu")
    dense = getattr(model.classifier, "dense", None)
    return FirstToken(dense, "tanh") if dense is not None else None


def _last_layer(model: PreTrainedModel, source: str) -> nn.Linear:
    classifier = getattr(model, "classifier", getattr(model, "qa_outputs", None))
    layer = getattr(classifier, "out_proj", classifier)
    if not isinstance(layer, nn.Linear):
        raise StepError(f"{source}: {type(model).__name__} has no linear last layer")
    return layer
