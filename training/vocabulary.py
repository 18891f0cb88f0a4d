"""A subword vocabulary of the language's own, and an encoder body moved under it.

The body of a pre-trained encoder carries over to a new vocabulary when the new embeddings start
from the old ones: a token both know keeps its row, any other starts from the mean of the rows its
characters had under the old tokenizer (cf. Gee et al. 2022, "Fast Vocabulary Transfer").
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from training.errors import StepError
from training.hub import resolve_model
from training.packaged_weights import load_packaged_trunk

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_wordpiece(
    texts: Iterable[str], *, size: int, lowercase: bool, max_length: int
) -> PreTrainedTokenizerFast:
    """Train a WordPiece tokenizer (BERT's pre-tokenization; accents are letters and stay).

    Args:
        texts: normalized training texts (app.contract.normalization).
        size: number of tokens, special ones included.
        lowercase: fold case inside the tokenizer.
        max_length: longest sequence the model reads, in tokens.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = WordPieceTrainer(
        vocab_size=size, min_frequency=3, limit_alphabet=300, special_tokens=list(SPECIAL_TOKENS)
    )
    tokenizer.train_from_iterator(texts, trainer)
    specials = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=specials
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def transplant(
    base: str,
    tokenizer: PreTrainedTokenizerFast,
    *,
    config: dict[str, float | str],
    package: Path | None = None,
) -> PreTrainedModel:
    """Load the masked-LM model `base` and give it the vocabulary of `tokenizer`.

    Args:
        base: see training.hub.resolve_model.
        tokenizer: the new vocabulary.
        config: entries of the model's configuration to change (dropout, activation).
        package: an exported package of base's shape, whose trunk and vocabulary are moved instead.

    Raises:
        StepError: another architecture than BERT (its masked-LM head and padding are assumed), or
            a package of another shape.

    Returns:
        The model, its embedding matrix of shape (len(tokenizer), hidden) filled from the old one;
        output weights stay tied to it.
    """
    path = resolve_model(base)
    old_tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForMaskedLM.from_pretrained(path, attn_implementation="eager", **config)
    if model.config.model_type != "bert":
        raise StepError(f"{base}: a BERT is needed to move, got {model.config.model_type}")
    if package:
        old_tokenizer = load_packaged_trunk(model, package)
    old = model.get_input_embeddings().weight.detach().clone()
    new = _initial_embeddings(old, old_tokenizer, tokenizer)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.get_input_embeddings().weight.data.copy_(new)
    model.tie_weights()
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _initial_embeddings(
    old: torch.Tensor,
    old_tokenizer: PreTrainedTokenizerFast,
    new_tokenizer: PreTrainedTokenizerFast,
) -> torch.Tensor:
    """Rows for the new vocabulary, shape (len(new_tokenizer), old.shape[1])."""
    old_vocabulary = old_tokenizer.get_vocab()
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    role_ids = {
        getattr(new_tokenizer, role): getattr(old_tokenizer, f"{role}_id") for role in roles
    }
    mean = old.mean(dim=0)
    rows = mean.repeat(len(new_tokenizer), 1)
    for token, row in new_tokenizer.get_vocab().items():
        if role_ids.get(token) is not None:
            ids = [role_ids[token]]
        elif token in old_vocabulary:
            ids = [old_vocabulary[token]]
        else:
            ids = _old_pieces(token, old_tokenizer, old_vocabulary)
        if ids:
            rows[row] = old[ids].mean(dim=0)
    return rows


def _old_pieces(
    token: str, old_tokenizer: PreTrainedTokenizerFast, old_vocabulary: dict[str, int]
) -> list[int]:
    """Old ids for a new token; a `##continuation` uses continuation pieces where they exist."""
    surface = token.removeprefix("##")
    pieces = old_tokenizer.tokenize(surface)
    if token.startswith("##") and pieces:
        pieces[0] = f"##{pieces[0]}" if f"##{pieces[0]}" in old_vocabulary else pieces[0]
    unknown = old_tokenizer.unk_token
    return [old_vocabulary[piece] for piece in pieces if piece != unknown]
