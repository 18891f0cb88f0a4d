"""RO-STS written for the tests: who goes where, in two languages."""

import itertools
from pathlib import Path

from tests.training.toy_models import toy_masked_lm, toy_masking_tokenizer

WORDS = {"Ana": "Ann", "Ion": "John", "Dan": "Dan", "Ema": "Emma"}
VERBS = {"merge": "walks", "vine": "comes", "doarme": "sleeps"}
PLACES = {"acasă": "home", "aici": "here", "departe": "away"}
HELD_OUT = "Ema doarme departe"
"""The one sentence of dev."""


def sentences() -> list[tuple[str, str]]:
    """Romanian and English, without the sentence of dev."""
    combined = itertools.product(WORDS.items(), VERBS.items(), PLACES.items())
    sides = [tuple(zip(*words, strict=True)) for words in combined]
    both = [(" ".join(romanian), " ".join(english)) for romanian, english in sides]
    return [pair for pair in both if pair[0] != HELD_OUT]


def write_parallel(data: Path) -> Path:
    """Write `ro-sts` with `ro-en`; returns the data directory."""
    folder = data / "ro-sts" / "ro-en"
    folder.mkdir(parents=True)
    for split, pairs in (("train", sentences()), ("dev", [(HELD_OUT, "Emma sleeps away")])):
        for column, language in enumerate(("ro", "en")):
            lines = "".join(f"{pair[column]}\n" for pair in pairs)
            (folder / f"RO-STS.{split}.{language}").write_text(lines, encoding="utf-8")
    scored = f"5\t{HELD_OUT}\tEma doarme\n0\t{HELD_OUT}\tIon merge\n2\tEma vine\tIon merge\n"
    (data / "ro-sts" / "RO-STS.dev.tsv").write_text(scored, encoding="utf-8")
    return data


def write_scores(data: Path) -> None:
    """Write pairs for training: 5 for the same sentence, 0 for others."""
    texts = [romanian for romanian, _ in sentences()]
    same = [f"5\t{text}\t{text}\n" for text in texts]
    other = [f"0\t{a}\t{b}\n" for a, b in zip(texts, reversed(texts), strict=True) if a != b]
    path = data / "ro-sts" / "RO-STS.train.tsv"
    path.write_text("".join(same + other), encoding="utf-8")


def write_encoder(folder: Path, *, language: int, width: int, seed: int) -> Path:
    """A BERT with random weights whose words are those of one language, 0 or 1."""
    words = [pair[language] for table in (WORDS, VERBS, PLACES) for pair in table.items()]
    tokenizer = toy_masking_tokenizer(words)
    toy_masked_lm(tokenizer, width=width, seed=seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sentence_content(encoder: Path, teacher: Path, /, **changes: object) -> dict:
    """A recipe of an encoder that is taught to read sentences."""
    parallel = {"corpus": "ro-sts/ro-en"}
    section = {
        "encoder": {"source": str(encoder)},
        "teacher": str(teacher),
        "data": [parallel | {"split": "train"}],
        "dev": parallel | {"split": "dev"},
        "scored_dev": {"corpus": "ro-sts", "split": "dev"},
        "max_tokens": 16,
        "dropout": 0.0,
        "epochs": 1,
        "batch_size": 8,
        "learning_rate": 1e-2,
    }
    return {
        "name": "sentence-encoder",
        "seed": 1,
        "licence": "apache-2.0",
        "data_notes": "Sentences written for the tests.",
        "sentences": section | changes,
    }
