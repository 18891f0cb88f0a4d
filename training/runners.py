"""Engines behind the contract's pipeline: a torch model or an ONNX file."""

import inspect
from pathlib import Path

import onnxruntime
import torch
from transformers.modeling_utils import PreTrainedModel

from app.contract.encoded_text import Arrays
from app.contract.pipeline import Outputs, Runner

LOGITS = "logits"


def torch_runner(model: PreTrainedModel) -> Runner:
    """Run a torch model in float32 on its own device."""
    model.eval()
    accepted = inspect.signature(model.forward).parameters

    @torch.no_grad()
    def run(arrays: Arrays) -> Outputs:
        inputs = {
            name: torch.from_numpy(array).to(model.device)
            for name, array in arrays.items()
            if name in accepted
        }
        return {LOGITS: model(**inputs).logits.float().cpu().numpy()}

    return run


def onnx_runner(path: Path, *, threads: int = 1) -> Runner:
    """Run an ONNX file on the CPU with `threads` threads, as the service does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {node.name for node in session.get_inputs()}
    outputs = [node.name for node in session.get_outputs()]

    def run(arrays: Arrays) -> Outputs:
        feed = {name: array for name, array in arrays.items() if name in inputs}
        return dict(zip(outputs, session.run(outputs, feed), strict=True))

    return run
