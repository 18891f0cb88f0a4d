"""A second graph of a registered package, in fp16, for GPUs: its model's next version."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.transformers.float16 import convert_float_to_float16

from app.contract.golden import replay, tolerance_of
from app.contract.manifest import HALF_MODEL, MODEL
from app.contract.pipeline import Package
from training.errors import StepError
from training.register import publish, seal
from training.runners import onnx_runner


def add_half(path: Path, graph: Path | None = None) -> Path:
    """Copy a package into its model's next version, with its graph in fp16 beside it.

    Its golden examples are replayed on the new graph, within fp16's tolerance where the package is
    fp32, else within its own.

    Args:
        path: of the package.
        graph: of the same model in fp32; None for the package's own.

    Returns:
        The new package's folder.

    Raises:
        StepError: the package's graph is of integers and no other was named, or fp16 answers
            otherwise.
        ContractError: the package is broken.
    """
    package = Package.load(path.resolve())
    manifest = package.manifest
    is_fp32 = manifest.precision == "fp32"
    if graph is None and not is_fp32:
        raise StepError(
            f"{manifest.name}: its graph is {manifest.precision}; name the fp32 one with --graph"
        )

    def assemble(folder: Path) -> None:
        for name in manifest.files:
            shutil.copyfile(package.path / name, folder / name)
        convert(graph or package.model_path, folder / HALF_MODEL)
        half = onnx_runner(folder / HALF_MODEL)
        replay(package, half, tolerance=tolerance_of(package.head, "fp16") if is_fp32 else None)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        update = {"version": int(folder.name), "created": created}
        seal(folder, manifest.model_copy(update=update), onnx_runner(folder / MODEL))

    return publish(package.path.parent, assemble)


def convert(source: Path, target: Path) -> None:
    """Write a graph in fp16 whose inputs and outputs keep their types.

    Weights that are stored in fewer bits are expanded first.
    """
    with tempfile.TemporaryDirectory() as folder:
        expanded = Path(folder) / MODEL
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(expanded)
        onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        model = onnx.load(expanded)
    onnx.save(convert_float_to_float16(model, keep_io_types=True), target)
