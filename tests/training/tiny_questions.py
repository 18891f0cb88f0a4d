"""Spanish questions written for the tests: who lives where."""

import itertools
import json
from pathlib import Path

from tests.training.tiny_corpus import write_base

PEOPLE = ["Ana", "Ion", "Eva", "Dan", "Sara"]
PLACES = ["Lima", "Quito", "Cali", "Oruro", "Salta"]


def paragraph(person: str, place: str, *, number: int) -> dict[str, object]:
    """A context and two questions: where, and one that it does not answer."""
    context = f"El vecino {person} vive en {place} desde enero."
    where = {
        "id": f"{number}-donde",
        "question": f"¿Dónde vive {person}?",
        "answers": [{"text": place, "answer_start": context.index(place)}],
    }
    when = {
        "id": f"{number}-cuando",
        "question": f"¿Cuándo canta {person}?",
        "answers": [],
        "is_impossible": True,
    }
    return {"context": context, "qas": [where, when]}


def write_questions(data: Path) -> Path:
    """Write `squad-es` and `es-text`; returns the data directory."""
    both = list(itertools.product(PEOPLE, PLACES))
    for split, chosen in (("train", both[1:] * 2), ("dev", both[::3])):
        paragraphs = [paragraph(*names, number=i) for i, names in enumerate(chosen)]
        content = {"version": "1", "data": [{"title": "Vecinos", "paragraphs": paragraphs}]}
        path = data / "squad-es" / f"{split}.paragraphs-outside-xquad.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    lines = [
        f"El vecino {person} vive en {place} desde enero y la señora {other} en {near}."
        for person, place, other, near in itertools.product(PEOPLE, PLACES, PEOPLE, PLACES)
    ]
    (data / "es-text").mkdir(parents=True, exist_ok=True)
    (data / "es-text" / "story-00.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return data


def recipe_content(base: Path) -> dict:
    """A recipe with a joint student and a narrow one in two stages, small enough for a test."""
    write_base(base)
    text = {"folder": "es-text", "sources": {"story": 1.0}}
    encoder = {
        "name": "encoder",
        "seed": 1,
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "pretrain": {
            "base": str(base),
            "config": {"hidden_dropout_prob": 0.0},
            "text": text,
            "vocabulary_size": 200,
            "max_length": 64,
            "block_length": 16,
            "batch_size": 16,
            "tokens": 5120,
            "learning_rate": 1e-3,
            "evaluate_every": 10,
        },
    }
    data = [{"corpus": "squad-es", "split": "train"}]
    stage = {"data": data, "epochs": 6, "batch_size": 8, "learning_rate": 5e-3}
    student = {
        "teachers": ["teacher"],
        "description": "A student.",
        "temperature": 1.0,
        "dropout": 0.0,
        "weights": {"soft": 1.0, "hard": 0.5, "hidden": 0.0, "attention": 1.0, "states": 1.0},
        "stages": [stage | {"epochs": 3}],
    }
    inside = {"soft": 0.0, "hard": 0.0, "hidden": 0.0, "attention": 1.0, "states": 1.0}
    outside = {"soft": 0.75, "hard": 0.125, "hidden": 0.0}
    questions = {"text": text, "questions": 10}
    return {
        "name": "tiny",
        "task": "qa",
        "seed": 1,
        "languages": ["es"],
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "golden": "golden.txt",
        "dev": {"corpus": "squad-es", "split": "dev"},
        "calibration": {"target": 0.5},
        "teachers": {
            "teacher": {
                "encoder": {"recipe": encoder},
                "description": "A teacher.",
                "max_tokens": 24,
                "stride": 4,
                "dropout": 0.0,
                "stages": [stage],
            }
        },
        "students": {
            "joint": student | {"layers": [1]},
            "staged": student
            | {
                "narrow": {"layers": 1, "width": 16, "heads": 2, "inner_width": 32},
                "weights": outside,
                "stages": [
                    {**stage, "data": [], "epochs": 1, "questions": questions, "weights": inside},
                    stage | {"epochs": 3, "empty_windows": 0.5},
                ],
            },
        },
        "aliases": {"default": "joint", "teacher": "teacher"},
    }
