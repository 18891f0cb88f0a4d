"""A trained model to the graphs that are measured and served."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.contract.adapters import adapted
from app.contract.encoded_text import Input
from app.contract.encoding import Encoder
from app.contract.projected_text import ProjectionEncoder
from training.errors import StepError
from training.export import PARITY, check_parity, export_model, store_int8
from training.minialbert import MiniAlbertModel
from training.minialbert_export import (
    export_adapters,
    export_head,
    export_minialbert,
    export_trunk,
)
from training.pqrnn import Pqrnn
from training.pqrnn_export import export_pqrnn
from training.quantize import quantize
from training.runners import onnx_runner, torch_runner
from training.task_model import TaskModel

SIZES = ("parameters", "trained_parameters", "added_bytes")
"""What `export_files` may say of a model's size."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The graphs of a model whose trunk other models share (app.contract.adapters)."""

    trunk: Path
    adapters: Path
    head: Path

    @classmethod
    def beside(cls, whole: Path) -> "Parts":
        """Where they lie, next to the graph of the whole."""
        return cls(*(whole.with_suffix(f".{part}.onnx") for part in ("trunk", "adapters", "head")))


def export_files(
    folder: Path,
    tokenizer: Encoder,
    sample: Sequence[Input],
    fp32: Path,
    final: Path,
    *,
    is_student: bool,
) -> dict[str, float]:
    """Write the graph of a model in fp32 and as it will be served.

    A MiniALBERT whose trunk has stayed as it is has its `Parts` beside the served graph.

    Returns:
        `parity`, the largest difference of an output between torch and fp32, and `parameters`. Of a
        MiniALBERT also `trained_parameters` and, with parts, `added_bytes`, those of all but the
        trunk. Of a pQRNN also the largest and the mean difference between the trained network on
        its grids and the integer graph, `int8_parity` and `int8_parity_mean`.

    Raises:
        StepError: torch and fp32 differ, or a weight is not a finite number.
    """
    if isinstance(tokenizer, ProjectionEncoder):
        return _export_pqrnn(folder, tokenizer, sample, fp32, final)
    model = TaskModel.load(folder)
    if is_student and isinstance(model.trunk, MiniAlbertModel):
        return _export_minialbert(model, tokenizer, sample, fp32, final)
    export_model(model, fp32)
    parity = check_parity(model, fp32, list(sample), tokenizer)
    if is_student:
        model.config.save_pretrained(final.parent)  # optimum reads it
        quantize(fp32, final)
    else:
        store_int8(fp32, final)
    return {"parity": parity, "parameters": sum(p.numel() for p in model.parameters())}


def sizes_of(facts: dict[str, float]) -> dict[str, float]:
    """The part of what `export_files` returns that is about size."""
    return {name: facts[name] for name in SIZES if name in facts}


def _export_minialbert(
    model: TaskModel, tokenizer: Encoder, sample: Sequence[Input], fp32: Path, int8: Path
) -> dict[str, float]:
    export_minialbert(model, fp32, quantize=False)
    facts = {"parity": check_parity(model, fp32, list(sample), tokenizer)}
    export_minialbert(model, int8, quantize=True)
    facts |= {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    if not model.trunk_source:
        return facts
    parts = Parts.beside(int8)
    export_trunk(model.trunk, parts.trunk)
    export_adapters(model.trunk, parts.adapters)
    export_head(model, parts.head)
    trunk, adapters, head = (onnx_runner(p) for p in (parts.trunk, parts.adapters, parts.head))
    encoded = tokenizer.encode(sample, long=model.head.long)
    arrays = tokenizer.collate([text.windows[0] for text in encoded])
    joined, whole = adapted(trunk, head, adapters({}))(arrays), onnx_runner(int8)(arrays)
    gap = max(float(np.abs(np.subtract(joined[name], whole[name])).max()) for name in whole)
    if not gap <= PARITY:
        raise StepError(f"{int8}: whole and on its trunk, outputs differ by {gap:.3g}")
    sizes = [path.stat().st_size for path in (parts.adapters, parts.head)]
    return facts | {"added_bytes": sum(sizes)}


def _export_pqrnn(
    folder: Path, encoder: ProjectionEncoder, sample: Sequence[Input], fp32: Path, int8: Path
) -> dict[str, float]:
    model = Pqrnn.load(folder)
    model.quantize = False
    export_pqrnn(model, fp32, quantize=False)
    facts = {"parity": check_parity(model, fp32, list(sample), encoder)}
    model.quantize = True
    export_pqrnn(model, int8, quantize=True)
    encoded = encoder.encode(sample, long=model.head.long)
    arrays = encoder.collate([text.windows[0] for text in encoded])
    real = arrays["attention_mask"].astype(bool)
    ours, theirs = torch_runner(model)(arrays), onnx_runner(int8)(arrays)
    gaps = np.concatenate(
        [
            np.abs(np.subtract(ours[o.name], theirs[o.name]))[real if o.per_token else ...].ravel()
            for o in model.head.outputs
        ]
    )
    facts |= {"int8_parity": float(gaps.max()), "int8_parity_mean": float(gaps.mean())}
    return facts | {"parameters": sum(p.numel() for p in model.parameters())}
