"""Toy models and tokenizers with known vocabularies."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from app.contract.heads import Head
from app.contract.tokenization import SubwordTokenizer
from training.minialbert import MiniAlbertConfig, MiniAlbertModel
from training.task_model import TaskModel

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def toy_tokenizer(
    pieces: Sequence[str],
    *,
    lowercase: bool = False,
    max_tokens: int = 16,
    stride: int = 2,
    reads_apart: bool = False,
) -> SubwordTokenizer:
    """WordPiece over exactly these pieces."""
    backend = _wordpiece((*SPECIAL, *pieces), lowercase=lowercase)
    return SubwordTokenizer(backend, max_tokens=max_tokens, stride=stride, reads_apart=reads_apart)


def toy_masking_tokenizer(
    pieces: Sequence[str], *, lowercase: bool = False
) -> PreTrainedTokenizerFast:
    """The same with a mask token, 4; the pieces count from 5."""
    return PreTrainedTokenizerFast(
        tokenizer_object=_wordpiece((*SPECIAL, "[MASK]", *pieces), lowercase=lowercase),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _wordpiece(vocabulary: Sequence[str], *, lowercase: bool) -> Tokenizer:
    numbered = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbered, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def toy_model(head: Head, *, layers: int = 4, seed: int = 0) -> TaskModel:
    """A BERT of width 16 with random weights."""
    torch.manual_seed(seed)
    trunk = BertModel(_config(30, layers=layers, width=16), add_pooling_layer=False)
    return TaskModel(trunk, head).eval()


def toy_masked_lm(
    tokenizer: PreTrainedTokenizerFast, *, layers: int = 2, width: int = 16, seed: int = 0
) -> BertForMaskedLM:
    """A BERT with its masked-LM head and random weights."""
    torch.manual_seed(seed)
    return BertForMaskedLM(_config(len(tokenizer), layers=layers, width=width)).eval()


def _config(vocabulary_size: int, *, layers: int, width: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )


def toy_minialbert(*, recursions: int = 3, vocabulary: int = 30, seed: int = 0) -> MiniAlbertModel:
    """A MiniALBERT of width 16 with random weights."""
    torch.manual_seed(seed)
    sizes = _config(vocabulary, layers=recursions, width=16).to_diff_dict()
    del sizes["model_type"]
    return MiniAlbertModel(MiniAlbertConfig(embedding_size=8, adapter_size=4, **sizes)).eval()
