"""Raw text in shards: `<folder>/<source>-NN.txt[.xz]`, UTF-8, one paragraph a line.

The mix is chosen per source: a share of 0.4 keeps the 40 % of its lines whose hash is smallest,
so the choice depends on the lines alone, not on their order or on a random state. Lines whose hash
falls in the top `dev_share` of all are the development text and are never trained on.
"""

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.contract.normalization import normalize
from training.datasets.splits import stable_fraction
from training.errors import DataError

DEV_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class TextLine:
    """One paragraph and the part it belongs to."""

    text: str
    is_dev: bool


def read_lines(
    folder: Path, shares: dict[str, float], *, dev_share: float = DEV_SHARE
) -> Iterator[TextLine]:
    """Yield the normalized lines of the chosen sources, in shard order.

    Args:
        folder: where the shards lie.
        shares: source name -> share of its lines to keep, in (0, 1].
        dev_share: share of all lines held out as development text.

    Raises:
        DataError: a source has no shard, or a shard is unreadable; names file and line.
    """
    for source, share in shares.items():
        shards = sorted([*folder.glob(f"{source}-*.txt"), *folder.glob(f"{source}-*.txt.xz")])
        if not shards:
            raise DataError(f"{folder}: no shard named {source}-*.txt or {source}-*.txt.xz")
        for shard in shards:
            for raw in _decode(shard):
                text = normalize(" ".join(raw.split())).text
                position = stable_fraction(text)
                if text and position >= 1 - dev_share:
                    yield TextLine(text, is_dev=True)
                elif text and position < share * (1 - dev_share):
                    yield TextLine(text, is_dev=False)


def _decode(shard: Path) -> Iterator[str]:
    number = 0
    try:
        with lzma.open(shard, "rb") if shard.suffix == ".xz" else shard.open("rb") as lines:
            for line in lines:
                number += 1
                yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{shard}:{number}: not UTF-8 ({error.reason})") from error
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{shard}: unreadable after line {number} ({error})") from error
