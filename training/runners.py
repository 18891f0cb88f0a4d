"""Engines behind the contract's pipeline: a torch model or an ONNX file."""

from pathlib import Path

import onnxruntime
import torch
from transformers.modeling_utils import PreTrainedModel

from app.contract.encoding import Arrays
from app.contract.pipeline import LOGITS, Outputs, Runner


def torch_runner(model: PreTrainedModel) -> Runner:
    """Run a torch model in float32 on its own device."""
    model.eval()

    @torch.no_grad()
    def run(arrays: Arrays) -> Outputs:
        inputs = {name: torch.from_numpy(a).to(model.device) for name, a in arrays.items()}
        return {LOGITS: model(**inputs).logits.float().cpu().numpy()}

    return run


def onnx_runner(path: Path, *, threads: int = 1) -> Runner:
    """Run an ONNX file on the CPU with `threads` threads, as the service does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda arrays: {LOGITS: session.run([LOGITS], arrays)[0]}
