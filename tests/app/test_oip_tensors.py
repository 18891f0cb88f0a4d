"""Tensors of the Open Inference Protocol as bytes and back."""

import gzip
import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RequestError
from app.oip_schemas import InferInput
from app.oip_tensors import Output, decompress, read_texts, split, write_reply
from tests.app.tensors import elements, tensor

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8)


@given(TEXTS, TEXTS)
def test_texts_come_back_from_json_and_from_binary_data(a: list[str], b: list[str]) -> None:
    inputs = [
        tensor("a", shape=[len(a)], size=len(elements(a))),
        tensor("b", shape=[len(b), 1], data=[[text] for text in b]),
        tensor("c", shape=[len(b)], size=len(elements(b))),
    ]

    texts = read_texts(
        [InferInput.model_validate(i) for i in inputs], elements(a) + elements(b), max_texts=8
    )

    assert texts == {"a": a, "b": b, "c": b}


@given(st.binary(max_size=64), st.integers(0, 9))
def test_any_binary_data_are_read_or_refused(data: bytes, count: int) -> None:
    described = InferInput.model_validate(tensor(shape=[count], size=len(data)))

    try:
        texts = read_texts([described], data, max_texts=8)["text"]
    except RequestError as error:
        outcome = error.code
    else:
        outcome = "read" if (elements(texts), len(texts)) == (data, count) else "misread"

    assert outcome in {"read", "malformed_body", "invalid_text", "too_many_inputs"}


@given(TEXTS, st.sets(st.sampled_from(["label", "score"])))
def test_reply_holds_each_output_once_where_it_was_asked_for(
    texts: list[str], binary: set[str]
) -> None:
    scores = [n / 8 for n in range(len(texts))]
    outputs = [
        Output("label", "BYTES", (len(texts),), texts),
        Output("score", "FP32", (len(texts),), scores),
    ]

    body, length = write_reply({"id": "1"}, outputs, as_binary=binary)

    head = json.loads(body[:length])
    rest = b"" if length is None else body[length:]
    plain = {o["name"]: o.get("data") for o in head["outputs"]}
    sizes = [o["parameters"]["binary_data_size"] for o in head["outputs"] if "parameters" in o]
    in_binary = {"label": elements(texts), "score": np.array(scores, "<f4").tobytes()}
    assert (length is None) is not bool(binary)
    assert plain == {
        "label": None if "label" in binary else texts,
        "score": None if "score" in binary else scores,
    }
    assert rest == b"".join(in_binary[name] for name in ("label", "score") if name in binary)
    assert sum(sizes) == len(rest)


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("deflate", 15)])
def test_decompression_stops_at_the_limit(encoding: str, window: int) -> None:
    bomb = zlib.compressobj(wbits=window)
    body = bomb.compress(b"0" * 10_000_000) + bomb.flush()

    with pytest.raises(RequestError, match="at most 1000 bytes after decompression"):
        decompress(body, encoding, max_bytes=1000)


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (b"{}", "gzip", "malformed_body"),
        (gzip.compress(b"{}")[:-1], "gzip", "malformed_body"),
        (gzip.compress(b"{}") + b"{}", "gzip", "malformed_body"),
        (gzip.compress(b"{}"), "deflate", "malformed_body"),
        (b"{}", "br", "unsupported_media_type"),
    ],
)
def test_broken_compression_is_refused(body: bytes, encoding: str, code: str) -> None:
    with pytest.raises(RequestError) as error:
        decompress(body, encoding, max_bytes=1000)

    assert error.value.code == code


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "3", "9" * 20, "²"])
def test_length_of_the_json_part_must_fit_the_body(length: str) -> None:
    with pytest.raises(RequestError) as error:
        split(b"{}", length)

    assert error.value.code == "malformed_body"
