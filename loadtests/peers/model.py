"""What every peer runs: tokenizer, ONNX graph on one thread, words to entities.

As lean as a user of these servers could write it, so that the servers differ and not the models.
The package is named by PEER_PACKAGE.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

MAX_BATCH = 8
"""On a core larger batches run fewer texts a second, since padding grows; smaller ones cost the
servers more hand-overs."""

Entity = dict[str, object]


class Model:
    """Answers batches of texts."""

    def __init__(self, *, threads: int = 1) -> None:
        package = Path(os.environ["PEER_PACKAGE"])
        manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
        self._labels: list[str] = manifest["head"]["labels"]
        self._tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
        self._tokenizer.enable_truncation(manifest["encoder"]["max_tokens"])
        self._tokenizer.enable_padding(pad_id=manifest["encoder"]["pad_id"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            package / "model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, texts: list[str]) -> list[list[Entity]]:
        """The entities of each text."""
        encodings = self._tokenizer.encode_batch(texts)
        feed = {
            "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
            "attention_mask": np.array([e.attention_mask for e in encodings], np.int64),
        }
        logits = self._session.run(["logits"], feed)[0]
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        scores = odds.max(-1) / odds.sum(-1)
        best = logits.argmax(-1)
        rows = zip(texts, encodings, best.tolist(), scores.tolist(), strict=True)
        return [self._entities(*row) for row in rows]

    def _entities(
        self, text: str, encoding: Encoding, best: list[int], scores: list[float]
    ) -> list[Entity]:
        """Runs of words, each labelled by its first token, as B-X I-X I-X."""
        found: list[Entity] = []
        word = None
        for at, of in enumerate(encoding.word_ids):
            if of is None:
                continue
            start, end = encoding.offsets[at]
            if of == word:
                if found and found[-1]["open"] == word:
                    found[-1]["end"] = end
                continue
            prefix, _, kind = self._labels[best[at]].partition("-")
            is_next = bool(found) and found[-1]["open"] == word and found[-1]["kind"] == kind
            word = of
            if not kind:
                continue
            if prefix == "I" and is_next:
                found[-1] |= {"end": end, "open": of}
                found[-1]["scores"].append(scores[at])
            else:
                found.append(
                    {"kind": kind, "start": start, "end": end, "open": of, "scores": [scores[at]]}
                )
        return [
            {
                "entity_group": entity["kind"],
                "score": round(float(np.mean(entity["scores"])), 6),
                "word": text[entity["start"] : entity["end"]],
                "start": entity["start"],
                "end": entity["end"],
            }
            for entity in found
        ]
