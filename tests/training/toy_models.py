"""Toy models and tokenizers with known vocabularies."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from app.contract.heads import Head
from app.contract.tokenization import SubwordTokenizer
from training.task_model import TaskModel

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def toy_tokenizer(
    pieces: Sequence[str], *, lowercase: bool = False, max_tokens: int = 16, stride: int = 2
) -> SubwordTokenizer:
    """WordPiece over exactly these pieces."""
    vocabulary = {piece: i for i, piece in enumerate((*SPECIAL, *pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return SubwordTokenizer(tokenizer, max_tokens=max_tokens, stride=stride)


def toy_model(head: Head, *, layers: int = 4, seed: int = 0) -> TaskModel:
    """A BERT of width 16 with random weights."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    return TaskModel(BertModel(config), head).eval()
