"""Adapter tuning (Nouriborji et al. 2023, after Houlsby et al. 2019): the trunk stays as it is.

What a task has learnt is then adapters and outputs; they are stored without the trunk, and with the
hash of the one that they belong to.
"""

import hashlib
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers.modeling_utils import PreTrainedModel

from training.errors import StepError
from training.minialbert import MiniAlbertModel

ADAPTERS = "adapters.safetensors"


def trunk_hash(trunk: MiniAlbertModel) -> str:
    """What tells the shared part of a MiniALBERT from all others, whatever its adapters are."""
    digest = hashlib.sha256()
    for name, tensor in sorted(trunk.state_dict().items()):
        if not name.startswith("adapters."):
            values = tensor.detach().cpu().float().contiguous().numpy()
            digest.update(f"{name} {values.shape}".encode() + values.tobytes())
    return digest.hexdigest()


def freeze_trunk(trunk: PreTrainedModel, source: str) -> None:
    """Leave only the adapters to be trained.

    Raises:
        StepError: a model without adapters.
    """
    if not isinstance(trunk, MiniAlbertModel):
        raise StepError(f"{source}: adapters are a MiniALBERT's, this is {trunk.config.model_type}")
    trunk.requires_grad_(False)
    trunk.adapters.requires_grad_(True)


def save_adapters(trunk: MiniAlbertModel, folder: Path, *, source: str) -> None:
    """Write the adapters, and which trunk they belong to.

    Args:
        trunk: with its adapters.
        folder: for the file.
        source: where the trunk is found again (training.hub.resolve_model).
    """
    place = str(Path(source).resolve()) if Path(source).exists() else source
    own = {"trunk": trunk_hash(trunk), "source": place}
    save_file(trunk.adapters.state_dict(), folder / ADAPTERS, metadata=own)


def load_adapters(trunk: MiniAlbertModel, folder: Path) -> None:
    """Put saved adapters on a trunk.

    Raises:
        StepError: it is not the trunk that they were trained on.
    """
    with safe_open(folder / ADAPTERS, "pt") as file:
        expected = file.metadata()["trunk"]
    got = trunk_hash(trunk) if isinstance(trunk, MiniAlbertModel) else trunk.config.model_type
    if got != expected:
        raise StepError(
            f"{folder / ADAPTERS} belongs to trunk {expected[:12]}, this is {got[:12]}; restore "
            "the encoder that they were trained on, or train them again"
        )
    trunk.adapters.load_state_dict(load_file(folder / ADAPTERS))


def trunk_source(folder: Path) -> str | None:
    """Where the trunk of saved adapters lies; None for a model that is stored whole."""
    if not (folder / ADAPTERS).exists():
        return None
    with safe_open(folder / ADAPTERS, "pt") as file:
        return file.metadata()["source"]
