"""MiniALBERT: one Transformer layer applied several times, with adapters of its own each time.

Nouriborji et al. 2023 (arXiv 2210.06425) and their code; R recursions over one BERT layer:
    x_0 = P LN(word + position + type)              in E dimensions up to P, a linear map to H
    x = A_i(x_{i-1});  x = Attention(x);  x = A'_i(x);  x_i = LN(FFN(x) + x)       i = 1 .. R
    A(u) = LN(W_up GELU(W_down u + b) + b' + u)     a bottleneck before each shared block
It computes as much as R layers and stores one.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, BertConfig
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer, BertOnlyMLMHead


class MiniAlbertConfig(BertConfig):
    """A BERT's sizes; `num_hidden_layers` counts recursions.

    Attributes:
        embedding_size: width of the embeddings, E.
        adapter_size: width of the adapters' bottleneck.
    """

    model_type = "minialbert"

    def __init__(self, *, embedding_size: int = 128, adapter_size: int = 48, **bert: Any) -> None:  # noqa: ANN401  # what BertConfig takes
        """Take a BERT's arguments and the two sizes of our own."""
        super().__init__(**bert)
        self.embedding_size = embedding_size
        self.adapter_size = adapter_size


class Adapter(nn.Module):
    """A bottleneck beside an identity, then a layer norm."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        """Fresh weights."""
        super().__init__()
        self.down = nn.Linear(config.hidden_size, config.adapter_size)
        self.up = nn.Linear(config.adapter_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Shape (..., hidden_size) to the same shape."""
        return self.norm(self.up(functional.gelu(self.down(hidden))) + hidden)


class _PreTrained(PreTrainedModel):
    config_class = MiniAlbertConfig
    base_model_prefix = "minialbert"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear | nn.LayerNorm) and module.bias is not None:
            nn.init.zeros_(module.bias)


class MiniAlbertModel(_PreTrained):
    """The encoder.

    Attributes:
        embeddings: of a BERT that is E wide.
        projector: from E to H.
        layer: shared by all recursions.
        adapters: one for each shared block of each recursion, `attention` and `feed_forward`.
    """

    def __init__(self, config: MiniAlbertConfig) -> None:
        """Random weights."""
        super().__init__(config)
        narrow = copy.deepcopy(config)
        narrow.hidden_size = config.embedding_size
        self.embeddings = BertEmbeddings(narrow)
        self.projector = nn.Linear(config.embedding_size, config.hidden_size)
        self.layer = BertLayer(config)
        self.adapters = nn.ModuleDict(
            {
                block: nn.ModuleList(Adapter(config) for _ in range(config.num_hidden_layers))
                for block in ("attention", "feed_forward")
            }
        )
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> BaseModelOutput:
        """Run a batch of shape (rows, length).

        Returns:
            `last_hidden_state`, (rows, length, H); if asked for, `hidden_states` of the embeddings
            and each recursion, `attentions` of each recursion, (rows, heads, length, length).
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        hidden = self.projector(self.embeddings(input_ids, token_type_ids=token_type_ids))
        lowest = torch.finfo(hidden.dtype).min
        bias = (1.0 - attention_mask[:, None, None, :].to(hidden.dtype)) * lowest
        states, maps = [hidden], []
        for before, between in zip(
            self.adapters["attention"], self.adapters["feed_forward"], strict=True
        ):
            hidden, *weights = self.layer.attention(
                before(hidden), attention_mask=bias, output_attentions=output_attentions
            )
            hidden = between(hidden)
            hidden = self.layer.output(self.layer.intermediate(hidden), hidden)
            states.append(hidden)
            maps += weights
        return BaseModelOutput(
            last_hidden_state=hidden,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(maps) if output_attentions else None,
        )

    def get_input_embeddings(self) -> nn.Module:
        """Of the words."""
        return self.embeddings.word_embeddings


class MiniAlbertForMaskedLM(_PreTrained):
    """An encoder with a masked-LM head whose decoder is untied; needed for distillation only."""

    def __init__(self, config: MiniAlbertConfig) -> None:
        """Random weights."""
        super().__init__(config)
        self.minialbert = MiniAlbertModel(config)
        self.cls = BertOnlyMLMHead(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> MaskedLMOutput:
        """Logits of shape (rows, length, vocabulary)."""
        hidden = self.minialbert(input_ids, attention_mask, token_type_ids)[0]
        return MaskedLMOutput(logits=self.cls(hidden))


def start_from(
    teacher: PreTrainedModel,
    *,
    layers: Sequence[int],
    embedding_size: int,
    adapter_size: int,
    input_ids: Tensor,
) -> MiniAlbertForMaskedLM:
    """A MiniALBERT that begins near a BERT; adapters and narrow norms are fitted on some text.

    Its embeddings are the teacher's in their first principal directions, behind the projector that
    brings them nearest to the teacher's (least squares). Its layer is the middle one of `layers`,
    its adapters are identities, its masked-LM head is the teacher's, where it has one.

    Args:
        teacher: a BERT, or a BERT with its masked-LM head.
        layers: as many as there are to be recursions.
        embedding_size: E.
        adapter_size: of the bottlenecks.
        input_ids: text without padding, shape (rows, length).
    """
    bert = teacher.base_model
    sizes = bert.config.to_dict() | {"num_hidden_layers": len(layers), "architectures": None}
    del sizes["model_type"]
    config = MiniAlbertConfig(embedding_size=embedding_size, adapter_size=adapter_size, **sizes)
    student = MiniAlbertForMaskedLM(config).eval()
    if hasattr(teacher, "cls"):
        student.cls.load_state_dict(teacher.cls.state_dict())
    trunk = student.minialbert
    trunk.layer.load_state_dict(bert.encoder.layer[layers[len(layers) // 2]].state_dict())
    with torch.no_grad():
        _narrow(bert.embeddings, trunk, input_ids)
        _be_identities(trunk, input_ids)
    return student


def _narrow(wide: nn.Module, trunk: MiniAlbertModel, input_ids: Tensor) -> None:
    words = wide.word_embeddings.weight.float()
    _, _, directions = torch.linalg.svd(words, full_matrices=False)
    basis = directions[: trunk.config.embedding_size].T
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        ours = getattr(trunk.embeddings, name).weight
        ours.copy_(getattr(wide, name).weight.float() @ basis)
    narrow = trunk.embeddings(input_ids).flatten(0, 1)
    with_bias = torch.cat([narrow, torch.ones_like(narrow[:, :1])], dim=1)
    fitted = torch.linalg.lstsq(with_bias, wide(input_ids).flatten(0, 1).float()).solution
    trunk.projector.weight.copy_(fitted[:-1].T)
    trunk.projector.bias.copy_(fitted[-1])


def _be_identities(trunk: MiniAlbertModel, input_ids: Tensor) -> None:
    """No bottleneck, and norms that give back the mean and spread that come in."""

    def fit(adapter: Adapter, inputs: tuple[Tensor]) -> None:
        adapter.up.weight.zero_()
        adapter.norm.weight.fill_(inputs[0].std(dim=-1).mean())
        adapter.norm.bias.fill_(inputs[0].mean())

    hooks = [
        adapter.register_forward_pre_hook(fit)
        for stack in trunk.adapters.values()
        for adapter in stack
    ]
    trunk(input_ids)
    for hook in hooks:
        hook.remove()


AutoConfig.register(MiniAlbertConfig.model_type, MiniAlbertConfig)
AutoModel.register(MiniAlbertConfig, MiniAlbertModel)
AutoModelForMaskedLM.register(MiniAlbertConfig, MiniAlbertForMaskedLM)
