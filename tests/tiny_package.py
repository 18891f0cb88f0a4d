"""A complete valid package of any task in a few kilobytes, without torch."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from app.contract.encoded_text import Arrays, Input, Pair
from app.contract.encoding import load_encoder
from app.contract.golden import FP32_TOLERANCE, record
from app.contract.heads import Head
from app.contract.manifest import (
    ALIASES,
    CONTRACT_VERSION,
    GOLDEN,
    MANIFEST,
    MODEL,
    TASKS,
    TOKENIZER,
    Manifest,
    SubwordEncoder,
    sha256,
    write_manifest,
)
from app.contract.pipeline import Package
from tests.tiny_graphs import HEADS, LABELS, MARGIN, VOCABULARY, tiny_graph

SCORE = float(np.exp(MARGIN) / (np.exp(MARGIN) + len(LABELS) - 1))
"""Of a tag of ner."""

MAX_TOKENS = 16
STRIDE = 4
OPSET = 17
GOLDEN_TEXTS: list[Input] = [
    "Maria Ionescu merge la București.",
    "Ion merge la Timis\u0327oara și la Iaşi.",
    ["Maria", "Ionescu", "merge"],
    "Ion " * 20,
]
GOLDEN_INPUTS: dict[str, list[Input]] = {
    "tags": GOLDEN_TEXTS,
    "spans": GOLDEN_TEXTS,
    "classes": ["nu e bun, e rău", "bun și puțin", "Ion " * 20],
    "score": [Pair("Maria merge", "merge Maria"), Pair("Ion", "bun"), Pair("Ion " * 20, "Iași")],
    "vector": [Pair("Maria merge", "merge Maria"), Pair("Ion", "Ion la"), Pair("Ion " * 20, "Ion")],
    "parse": ["trezește Ion mâine dimineață", ["plouă", "la", "Iași"]],
    "answer": [Pair("Cine merge?", "Maria Ionescu merge la Iași."), Pair("Unde?", "Ion " * 20)],
}
"""By the kind of head."""


def build(
    store: Path,
    *,
    task: str = "ner",
    model: str = "tiny",
    version: int = 1,
    head: Head | None = None,
) -> Path:
    """Write a package into a store and return its folder.

    Args:
        store: gets a package.
        task: of the package.
        model: its name.
        version: its version.
        head: instead of the task's own in HEADS.
    """
    head = head or HEADS[task]
    package = store / task / model / str(version)
    package.mkdir(parents=True)
    graph = tiny_graph(head, opset=OPSET)
    onnx.save(graph, package / MODEL)
    _tokenizer().save(str(package / TOKENIZER))
    (package / GOLDEN).write_text("{}")

    def manifest() -> Manifest:
        size = sum(int(np.prod(table.dims)) for table in graph.graph.initializer)
        names = {"task": task, "model": model, "version": version}
        return _manifest(package, names, head, size)

    run = _Reference(graph)
    draft = Package(package, manifest(), load_encoder(package, manifest()))
    golden = record(draft, run, GOLDEN_INPUTS[head.kind], tolerance=FP32_TOLERANCE)
    (package / GOLDEN).write_text(golden.model_dump_json())
    write_manifest(package, manifest())
    return package


def build_all(store: Path) -> None:
    """Write a default and a teacher of every task, and their aliases."""
    for task in TASKS:
        build(store, task=task)
        build(store, task=task, model="tiny-teacher")
        write_aliases(store, task=task, default="tiny", teacher="tiny-teacher")


def write_aliases(store: Path, *, task: str = "ner", **aliases: object) -> None:
    """Write a task's aliases."""
    (store / task / ALIASES).write_text(json.dumps(aliases))


def edit_json(path: Path, **changes: object) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def reseal(package: Path) -> None:
    """Make the hashes in the manifest fit the files again."""
    files = json.loads((package / MANIFEST).read_bytes())["files"]
    edit_json(package / MANIFEST, files={name: sha256(package / name) for name in files})


def break_golden(package: Path) -> None:
    """Let the package promise other outputs than its graph has."""
    golden = json.loads((package / GOLDEN).read_bytes())
    window = golden["examples"][0]["outputs"][0]
    name = next(iter(window))
    window[name] = (np.asarray(window[name]) + 0.1).tolist()
    (package / GOLDEN).write_text(json.dumps(golden))
    reseal(package)


class _Reference:
    """A graph as ONNX's own slow evaluator runs it."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        self._evaluator = ReferenceEvaluator(graph)

    def __call__(self, arrays: Arrays) -> Mapping[str, np.ndarray]:
        names = self._evaluator.output_names
        feed = {name: arrays[name] for name in self._evaluator.input_names}
        return dict(zip(names, self._evaluator.run(None, feed), strict=True))


def _tokenizer() -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer


def _manifest(package: Path, names: dict[str, object], head: Head, size: int) -> Manifest:
    return Manifest(
        **names,  # type: ignore[arg-type]  # validated there
        contract_version=CONTRACT_VERSION,
        description="Looks words up in a table.",
        created="2025-01-01T00:00:00Z",
        commit="0" * 40,
        recipe="tiny.yaml",
        base="none",
        teacher=None,
        languages=("ro",),
        licence="Apache-2.0",
        precision="fp32",
        weights="fp32",
        parameters=size,
        opset=OPSET,
        encoder=SubwordEncoder(max_tokens=MAX_TOKENS, stride=STRIDE, pad_id=0),
        head=head,
        quality={},
        loyalty={},
        files={name: sha256(package / name) for name in (MODEL, TOKENIZER, GOLDEN)},
    )
