"""Where the windows of a long input begin, whatever its tokens are."""

from app.contract.encoded_text import LongInput
from app.contract.errors import InputError


def check_stride(stride: int, room: int) -> None:
    """Refuse a stride that is not shorter than a window.

    Raises:
        InputError: it is out of bounds.
    """
    if not 0 <= stride < room:
        raise InputError("invalid_parameter", f"stride must be in [0, {room}), got {stride}")


def window_starts(
    count: int,
    room: int,
    *,
    long: LongInput,
    stride: int,
    max_total_tokens: float,
    special: int = 0,
    repeated: int = 0,
) -> range:
    """Index of the first token of each window.

    Args:
        count: tokens to be read.
        room: of them that fit into a window.
        long: what becomes of more than fit into one.
        stride: tokens shared by neighbouring windows, below `room`.
        max_total_tokens: bound of all windows together.
        special: tokens that each window has besides.
        repeated: tokens of the input that each window has besides.

    Raises:
        InputError: too long to be read in one window where that is asked, or too much altogether.
    """
    if count > room and long == "refuse":
        message = f"the input has {repeated + count} tokens, at most {room + repeated}"
        raise InputError("text_too_long", f"{message} are read; shorten it or set truncate")
    if long == "cut":
        starts, count = range(1), min(count, room)
    else:
        starts = range(0, max(1, count - stride), room - stride)
    total = count + (len(starts) - 1) * stride + len(starts) * (special + repeated)
    if total > max_total_tokens:
        message = (
            f"the input makes {len(starts)} windows with {total} tokens, "
            f"{max_total_tokens:.0f} of those that one request may have are left; send less"
        )
        raise InputError("request_too_long", message)
    return starts
