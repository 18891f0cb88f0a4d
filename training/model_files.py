"""A trained model to the graphs that are measured and served."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.contract.encoded_text import Input
from app.contract.encoding import Encoder
from app.contract.projected_text import ProjectionEncoder
from training.export import check_parity, export_model, store_int8
from training.pqrnn import Pqrnn
from training.pqrnn_export import export_pqrnn
from training.quantize import quantize
from training.runners import onnx_runner, torch_runner
from training.task_model import TaskModel


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

    Returns:
        `parity`, the largest difference of an output between torch and fp32, and `parameters`. Of a
        pQRNN also the largest and the mean difference between the trained network on its grids
        and the integer graph, `int8_parity` and `int8_parity_mean`.

    Raises:
        StepError: torch and fp32 differ, or a weight is not a finite number.
    """
    if isinstance(tokenizer, ProjectionEncoder):
        return _export_pqrnn(folder, tokenizer, sample, fp32, final)
    model = TaskModel.load(folder)
    export_model(model, fp32)
    parity = check_parity(model, fp32, list(sample), tokenizer)
    if is_student:
        model.config.save_pretrained(final.parent)  # optimum reads it
        quantize(fp32, final)
    else:
        store_int8(fp32, final)
    return {"parity": parity, "parameters": sum(p.numel() for p in model.parameters())}


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
