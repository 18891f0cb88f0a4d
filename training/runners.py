"""Engines behind the contract's pipeline: a torch model or an ONNX file."""

from pathlib import Path

import onnxruntime
import torch

from app.contract.adapters import adapted
from app.contract.encoded_text import Arrays
from app.contract.pipeline import Outputs, Package, Runner
from training.pqrnn import Pqrnn
from training.task_model import TaskModel


def torch_runner(model: TaskModel | Pqrnn) -> Runner:
    """Run a torch model in float32 on its own device."""
    model.eval()
    names = [output.name for output in model.head.outputs]

    @torch.no_grad()
    def run(arrays: Arrays) -> Outputs:
        found = model(
            **{k: torch.from_numpy(array).to(model.device) for k, array in arrays.items()}
        )
        return {name: found[name].float().cpu().numpy() for name in names}

    return run


def onnx_runner(path: Path, *, threads: int = 1) -> Runner:
    """Run an ONNX file on the CPU with `threads` threads, as the service does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {node.name for node in session.get_inputs()}
    outputs = [node.name for node in session.get_outputs()]

    def run(arrays: Arrays) -> Outputs:
        feed = {name: array for name, array in arrays.items() if name in inputs}
        return dict(zip(outputs, session.run(outputs, feed), strict=True))

    return run


def package_runner(package: Package) -> Runner:
    """Run a package on the CPU, with the trunk that it names."""
    head = onnx_runner(package.model_path)
    if package.trunk_path is None:
        return head
    return adapted(onnx_runner(package.trunk_path), head, onnx_runner(package.adapters_path)({}))
