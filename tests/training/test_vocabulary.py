from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from tests.training.tiny_corpus import write_base
from training.vocabulary import train_wordpiece, transplant

TEXTS = ["Ana are mere", "ana are pere", "Mihai are șapte mere"] * 5


def test_a_cased_vocabulary_keeps_case_and_romanian_letters() -> None:
    tokenizer = train_wordpiece(TEXTS, size=120, lowercase=False, max_length=64)

    assert {"Ana", "ana", "șapte"} <= set(tokenizer.get_vocab())
    assert len(tokenizer) <= 120


def test_an_uncased_vocabulary_folds_case_only() -> None:
    tokenizer = train_wordpiece(TEXTS, size=120, lowercase=True, max_length=64)

    assert tokenizer.tokenize("ȘAPTE") == ["șapte"]


def test_the_vocabulary_survives_saving(tmp_path: Path) -> None:
    tokenizer = train_wordpiece(TEXTS, size=120, lowercase=False, max_length=64)
    tokenizer.save_pretrained(tmp_path)

    loaded = AutoTokenizer.from_pretrained(tmp_path)

    assert loaded("Ana are șapte mere").input_ids == tokenizer("Ana are șapte mere").input_ids


def test_a_moved_body_starts_from_the_old_embeddings(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    tokenizer = train_wordpiece(TEXTS, size=120, lowercase=False, max_length=64)
    old = AutoModelForMaskedLM.from_pretrained(base)
    old_rows, old_ids = old.get_input_embeddings().weight, AutoTokenizer.from_pretrained(base)

    model = transplant(str(base), tokenizer, config={})

    rows = model.get_input_embeddings().weight
    vocabulary, known = tokenizer.get_vocab(), old_ids.get_vocab()
    torch.testing.assert_close(rows[vocabulary["[MASK]"]], old_rows[known["[MASK]"]])
    torch.testing.assert_close(rows[vocabulary["a"]], old_rows[known["a"]])
    spelled = [known[piece] for piece in ("m", "##e", "##r", "##e")]
    torch.testing.assert_close(rows[vocabulary["mere"]], old_rows[spelled].mean(0))
    layer = "bert.encoder.layer.0.attention.self.query.weight"
    torch.testing.assert_close(model.state_dict()[layer], old.state_dict()[layer])
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
