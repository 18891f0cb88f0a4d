"""Made-up corpora, and encoders with random weights: enough to walk a recipe, not to learn from.

Every file has the layout that its reader in training/datasets expects. Texts of two splits have no
run of words in common, so none is left out as a repetition.
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path

from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertTokenizerFast,
)
from transformers.modeling_utils import PreTrainedModel

from training.datasets.raw_text import DEV_SHARE
from training.datasets.splits import stable_fraction

EXAMPLES = 24
"""In each split of a corpus."""
LINES, DEV_LINES = 400, 8
"""Of raw text, for training and for its development part."""
LAYERS = HEADS = 12
MAX_LENGTH = 512
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NAMES = ["Ana", "Maria", "Dan", "Ion"]
WORDS = """
    casa munte apa drum carte masa lumina noapte vale pod oraș sat câmp pâine lemn piatră
    vede merge spune aduce trece scrie cântă lucrează găsește așteaptă caută duce ține pune
    mare mic nou vechi bun alb înalt rece cald lung
""".split()  # noqa: SIM905 - a list of forty is longer to read


def write_corpora(data: Path) -> None:
    """Toy forms of the corpora of recipes for published sizes."""
    for split in ("train", "valid", "test"):
        _write(data / "ronec" / f"{split}.json", json.dumps(list(_entities(split))))
    for split in ("train", "dev", "test"):
        _write(data / "ro-rrt" / f"ro_rrt-ud-{split}.conllu", "".join(_trees(split)))
        _write(data / "ro-sts" / f"RO-STS.{split}.tsv", "".join(_pairs(split)))
    for split in ("train", "test"):
        reviews = {"reviews": list(_reviews(split))}
        _write(data / "laroseda" / f"laroseda_{split}.json", json.dumps(reviews))
    for split in ("train", "dev"):
        _write(data / "squad-es" / f"{split}-v1.1-es.json", json.dumps(_questions(split)))
    for split in ("train", "validation", "test"):
        texts = [f"{i}\t{text}\n" for i, text in enumerate(_texts(f"moroco {split}"))]
        labels = [f"{i}\t{1 + i % 2}\n" for i in range(EXAMPLES)]
        _write(data / "moroco" / split / "samples.txt", "".join(texts))
        _write(data / "moroco" / split / "dialect_labels.txt", "".join(labels))


def write_raw_text(path: Path) -> None:
    """A shard of raw text, part of which is development text."""
    generator = random.Random(path.name)
    left = {True: DEV_LINES, False: LINES}
    lines = []
    while any(left.values()):
        line = _sentence(generator)
        is_dev = stable_fraction(line) >= 1 - DEV_SHARE
        if left[is_dev]:
            left[is_dev] -= 1
            lines.append(f"{line}\n")
    _write(path, "".join(lines))


def write_encoder(folder: Path, *, width: int, vocabulary: int, lowercase: bool) -> None:
    """A BERT of 12 layers with random weights, its masked-LM head and a tokenizer.

    Args:
        folder: `from_pretrained` reads it.
        width: of the hidden states, a multiple of 12.
        vocabulary: tokens; those beside the toy corpora's own words never occur.
        lowercase: whether the tokenizer is uncased.
    """
    _write_bert(BertForMaskedLM, folder, width, vocabulary, lowercase)


def write_reader(folder: Path, *, width: int, vocabulary: int, lowercase: bool) -> None:
    """The same with a head for answers to questions; arguments as of `write_encoder`."""
    _write_bert(BertForQuestionAnswering, folder, width, vocabulary, lowercase)


def _write_bert(
    kind: type[PreTrainedModel], folder: Path, width: int, vocabulary: int, lowercase: bool
) -> None:
    words = [*NAMES, *(word.capitalize() for word in WORDS), *WORDS]
    letters = sorted(set("".join(words)) | set("0123456789"))
    known = [*SPECIAL, *words, ".", *letters, *(f"##{letter}" for letter in letters)]
    known = list(
        dict.fromkeys(token if token in SPECIAL else _cased(token, lowercase) for token in known)
    )
    unused = [f"[unused{i}]" for i in range(vocabulary - len(known))]
    _write(folder / "vocab.txt", "\n".join([*known, *unused]) + "\n")
    tokenizer = BertTokenizerFast(
        str(folder / "vocab.txt"),
        do_lower_case=lowercase,
        strip_accents=False,
        model_max_length=MAX_LENGTH,
    )
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * width,
        max_position_embeddings=MAX_LENGTH,
    )
    kind(config).save_pretrained(folder)


def _cased(token: str, lowercase: bool) -> str:
    return token.lower() if lowercase else token


def _sentence(generator: random.Random) -> str:
    words = [generator.choice(WORDS) for _ in range(generator.randint(9, 14))]
    return " ".join([generator.choice(NAMES), *words]) + "."


def _texts(seed: str) -> list[str]:
    generator = random.Random(seed)
    return [_sentence(generator) for _ in range(EXAMPLES)]


def _entities(split: str) -> Iterable[dict[str, object]]:
    for text in _texts(f"ronec {split}"):
        words = text.removesuffix(".").split()
        tags = ["B-PERSON", *("O" for _ in words[1:])]
        yield {"tokens": words, "ner_tags": tags, "space_after": [True] * len(words)}


def _trees(split: str) -> Iterable[str]:
    for text in _texts(f"ro-rrt {split}"):
        for i, word in enumerate(text.removesuffix(".").split(), start=1):
            upos, xpos = ("PROPN", "Np") if i == 1 else ("NOUN", "Ncfsrn")
            yield f"{i}\t{word}\t_\t{upos}\t{xpos}\t_\t_\t_\t_\t_\n"
        yield "\n"


def _pairs(split: str) -> Iterable[str]:
    texts = _texts(f"ro-sts {split}")
    for i, (first, second) in enumerate(zip(texts, reversed(texts), strict=True)):
        yield f"{i % 6}\t{first}\t{second}\n"


def _reviews(split: str) -> Iterable[dict[str, str]]:
    for i, text in enumerate(_texts(f"laroseda {split}")):
        stars = "1245"[i % 4]
        yield {"index": str(i), "title": "Carte", "content": text, "starRating": stars}


def _questions(split: str) -> dict[str, object]:
    paragraphs = []
    for i, text in enumerate(_texts(f"squad-es {split}")):
        name = text.split()[0]
        answer = {"text": name, "answer_start": 0}
        asked = {"id": f"{split}-{i}", "question": f"casa {WORDS[i]}", "answers": [answer]}
        paragraphs.append({"context": text, "qas": [asked]})
    return {"version": "1", "data": [{"title": "casa", "paragraphs": paragraphs}]}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
