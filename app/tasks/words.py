"""What the tasks share that label every word: their inputs, and long texts in windows."""

from pydantic import Field

from app.contract.encoded_text import LongInput
from app.inputs import InputLimits, Reading, read_texts
from app.schemas import Parameters


class WordParameters(Parameters):
    """How words are found and long texts are read."""

    is_split_into_words: bool = Field(
        False, description='inputs are lists of words; offsets refer to " ".join(words)'
    )
    truncate: bool = Field(
        False,
        description="read the first window of a long text only, instead of all of it in "
        "overlapping windows; the cut inputs are named in X-Truncated",
    )
    stride: int | None = Field(
        None,
        ge=0,
        le=8192,
        description="tokens that neighbouring windows share, at most half a window; the model's "
        "own if not given; without meaning for truncate",
    )


def read_words(inputs: object, parameters: WordParameters, limits: InputLimits) -> Reading:
    """See `read_texts`."""
    return read_texts(inputs, split=parameters.is_split_into_words, limits=limits)


def long_words(parameters: WordParameters) -> LongInput:
    """What becomes of long texts."""
    return "cut" if parameters.truncate else "windows"


def stride_of_words(parameters: WordParameters) -> int | None:
    """Tokens that windows share; None for the model's own."""
    return parameters.stride
