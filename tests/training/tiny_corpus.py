"""A corpus written for the tests: a few people, places and verbs, combined into sentences."""

import itertools
import json
import lzma
from pathlib import Path

import torch
import yaml
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

PEOPLE = ["Ana Pop", "Ion Radu", "Maria Stan", "Dan Ionescu", "Elena Marin"]
PLACES = ["Iași", "Cluj-Napoca", "Brașov", "Sibiu", "Timișoara"]
VERBS = ["locuiește la", "a plecat ieri din", "ajunge mâine la", "s-a născut la"]


def sentences() -> list[dict]:
    """All combinations, as RONEC records."""
    records = []
    for i, (person, place, verb) in enumerate(itertools.product(PEOPLE, PLACES, VERBS)):
        name, middle = person.split(), verb.split()
        tokens = [*name, *middle, place, "."]
        tags = ["B-PERSON", "I-PERSON", *["O"] * len(middle), "B-GPE", "O"]
        space = [True] * (len(tokens) - 2) + [False, False]
        records.append({"id": i, "tokens": tokens, "ner_tags": tags, "space_after": space})
    return records


def write_corpora(folder: Path) -> Path:
    """Write `ronec` and `ro-text` in the layout of the real ones; returns the data directory."""
    records = sentences()
    (folder / "ronec").mkdir(parents=True)
    (folder / "ronec" / "valid.json").write_text(
        json.dumps(records[::2], ensure_ascii=False), encoding="utf-8"
    )
    (folder / "ronec" / "ronec_v1_minus_v2eval.v2format.json").write_text(
        json.dumps(records[1::2], ensure_ascii=False), encoding="utf-8"
    )
    (folder / "ro-text").mkdir()
    lines = [
        f"{person} {verb} {place}. Apoi {other} {verb} {place}."
        for person, other, place, verb in itertools.product(PEOPLE, PEOPLE, PLACES, VERBS)
    ]
    with lzma.open(folder / "ro-text" / "story-00.txt.xz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return folder


def write_base(folder: Path) -> Path:
    """A BERT with random weights and an alphabet for vocabulary, as the base to move."""
    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz.-"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def encoder_content(base: Path, *, lowercase: bool = False, seed: int = 1) -> dict:
    """A recipe of an encoder, small enough for a test."""
    return {
        "name": "encoder-uncased" if lowercase else "encoder",
        "seed": seed,
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "pretrain": {
            "base": str(base),
            "config": {"hidden_dropout_prob": 0.0},
            "text": {"folder": "ro-text", "sources": {"story": 1.0}},
            "vocabulary_size": 200,
            "lowercase": lowercase,
            "max_length": 64,
            "block_length": 16,
            "batch_size": 16,
            "tokens": 5120,
            "learning_rate": 1e-3,
            "evaluate_every": 10,
        },
    }


def distilled_encoder_content(*teachers: dict) -> dict:
    """A recipe of an encoder distilled from others, small enough for a test.

    Args:
        teachers: recipes of encoders.
    """
    free = ("text", "block_length", "batch_size", "tokens", "learning_rate", "evaluate_every")
    shared = {name: teachers[0]["pretrain"][name] for name in free}
    return {
        "name": "encoder-distilled",
        "seed": 1,
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "distil": shared
        | {"teachers": [{"recipe": teacher} for teacher in teachers], "layers": [1]},
    }


def recipe_content(base: Path) -> dict:
    """A recipe of the whole road, small enough for a test."""
    gold = {"corpus": "ronec", "split": "valid[:60%]"}
    stage = {"epochs": 12, "batch_size": 8, "learning_rate": 5e-3}
    text = {"folder": "ro-text", "sources": {"story": 1.0}}
    return {
        "name": "tiny",
        "task": "ner",
        "seed": 1,
        "languages": ["ro"],
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "golden": "golden.txt",
        "dev": {"corpus": "ronec", "split": "valid[60%:]"},
        "calibration": {"target": 0.5},
        "teachers": {
            "teacher-tiny": {
                "encoder": {"recipe": encoder_content(base)},
                "description": "A teacher.",
                "max_tokens": 32,
                "stride": 8,
                "dropout": 0.0,
                "stages": [{"data": [{"corpus": "ronec", "split": "v1"}, gold]} | stage],
            }
        },
        "students": {
            "distil-tiny": {
                "teachers": ["teacher-tiny"],
                "description": "A student.",
                "layers": [1],
                "temperature": 2.0,
                "dropout": 0.0,
                "weights": {"soft": 1.0, "hard": 0.5, "hidden": 1.0},
                "stages": [{"data": [gold], "unlabelled": {"text": text, "sentences": 50}} | stage],
            }
        },
        "aliases": {"default": "distil-tiny", "teacher": "teacher-tiny"},
    }


def write_recipe(folder: Path, content: dict) -> Path:
    """Write a recipe and its golden sentences; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    golden = ["Ana Pop locuiește la Iași.", "Dan Ionescu ajunge mâine la Sibiu."]
    (folder / "golden.txt").write_text("\n".join(golden) + "\n", encoding="utf-8")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path
