"""BIO2 tags as the corpora have them."""

import re
from collections.abc import Sequence

from training.errors import DataError

_PATTERN = re.compile(r"O|[BI]-.+")


def check_tags(tags: Sequence[object], place: str) -> None:
    """Refuse what is no BIO tag.

    Raises:
        DataError: names the first odd tag.
    """
    odd = [tag for tag in tags if not _PATTERN.fullmatch(str(tag))]
    if odd:
        raise DataError(f"{place}: tag {odd[0]!r} is not O, B-X or I-X")


def bio2(tags: Sequence[str], place: str) -> tuple[str, ...]:
    """The same spans in BIO2: an I-X that continues nothing opens a span, as in conlleval.

    >>> bio2(["O", "I-TIME", "I-TIME"], "")
    ('O', 'B-TIME', 'I-TIME')

    Raises:
        DataError: see `check_tags`.
    """
    check_tags(tags, place)
    before = ("O", *tags)
    return tuple(
        f"B-{tag[2:]}" if tag[0] == "I" and last[1:] != f"-{tag[2:]}" else tag
        for last, tag in zip(before, tags, strict=False)
    )
