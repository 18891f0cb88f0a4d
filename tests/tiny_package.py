"""A complete valid package in a few kilobytes, without torch: a table has the tag of each word.

Two words are poison: CRASH makes the graph fail, INFINITE makes it put out infinite numbers.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from app.contract.encoded_text import Arrays
from app.contract.encoding import load_encoder
from app.contract.golden import FP32_TOLERANCE, record
from app.contract.heads import SpanHead
from app.contract.manifest import (
    ALIASES,
    CONTRACT_VERSION,
    GOLDEN,
    MANIFEST,
    MODEL,
    TOKENIZER,
    Manifest,
    SubwordEncoder,
    sha256,
    write_manifest,
)
from app.contract.pipeline import Package

LABELS = ("O", "B-PERSON", "I-PERSON", "B-GPE", "I-GPE")
TAGS = {
    "Maria": "B-PERSON",
    "Ion": "B-PERSON",
    "Ionescu": "I-PERSON",
    "București": "B-GPE",
    "Timișoara": "B-GPE",
    "Iași": "B-GPE",
    "la": "O",
    "merge": "O",
    "și": "O",
    ".": "O",
}
INFINITE = "infinite"
CRASH = "crash"
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
VOCABULARY = (*SPECIALS, *TAGS, INFINITE, CRASH)
MARGIN = 8.0
"""Logit of a word's tag; the others are 0."""

SCORE = float(np.exp(MARGIN) / (np.exp(MARGIN) + len(LABELS) - 1))
MAX_TOKENS = 16
STRIDE = 4
OPSET = 17
GOLDEN_TEXTS: list[str | list[str]] = [
    "Maria Ionescu merge la București.",
    "Ion merge la Timis\u0327oara și la Iaşi.",
    ["Maria", "Ionescu", "merge"],
    "Ion " * 20,
]


def build(store: Path, *, task: str = "ner", model: str = "tiny", version: int = 1) -> Path:
    """Write a package into a store and return its folder."""
    package = store / task / model / str(version)
    package.mkdir(parents=True)
    table = _table()
    onnx.save(_graph(table), package / MODEL)
    _tokenizer().save(str(package / TOKENIZER))
    (package / GOLDEN).write_text("{}")
    manifest = _manifest(package, task=task, model=model, version=version)

    def run(arrays: Arrays) -> Mapping[str, np.ndarray]:
        return {"logits": table[arrays["input_ids"]]}

    draft = Package(package, manifest, load_encoder(package, manifest))
    golden = record(draft, run, GOLDEN_TEXTS, tolerance=FP32_TOLERANCE)
    (package / GOLDEN).write_text(golden.model_dump_json())
    write_manifest(package, _manifest(package, task=task, model=model, version=version))
    return package


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


def _table() -> np.ndarray:
    """Logits of each id, float32, shape (ids, labels); CRASH has an id but no row."""
    table = np.zeros((len(VOCABULARY) - 1, len(LABELS)), np.float32)
    for index, word in enumerate(VOCABULARY[:-1]):
        table[index, LABELS.index(TAGS.get(word, "O"))] = MARGIN
    table[VOCABULARY.index(INFINITE)] = np.inf
    return table


def _graph(table: np.ndarray) -> onnx.ModelProto:
    shape = ["rows", "length"]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["logits"])],
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, shape)
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [*shape, len(LABELS)])],
        [numpy_helper.from_array(table, "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _tokenizer() -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer


def _manifest(package: Path, *, task: str, model: str, version: int) -> Manifest:
    return Manifest(
        contract_version=CONTRACT_VERSION,
        task=task,  # type: ignore[arg-type]  # validated there
        model=model,
        version=version,
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
        parameters=_table().size,
        opset=OPSET,
        encoder=SubwordEncoder(max_tokens=MAX_TOKENS, stride=STRIDE, pad_id=0),
        head=SpanHead(labels=LABELS),
        quality={},
        loyalty={},
        files={name: sha256(package / name) for name in (MODEL, TOKENIZER, GOLDEN)},
    )
