"""Tensors of the Open Inference Protocol as bytes: the JSON part, and binary data behind it.

BYTES elements are strings in JSON; in binary each is its length (four bytes, little-endian) and its
bytes. Tensors are row-major. Pure functions.
"""

import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import orjson

from app.errors import Fault, RequestError
from app.oip_schemas import InferInput

GZIP_OR_ZLIB = {"gzip": 31, "deflate": 15}
"""Content-Encoding -> window bits of zlib."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output tensor.

    Attributes:
        values: its elements in row-major order.
    """

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: tuple[int, ...]
    values: Sequence[str] | Sequence[float]


def decompress(body: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """Undo the Content-Encoding of a body.

    Args:
        body: as it came.
        encoding: value of the header.
        max_bytes: bound of the result; nothing beyond it is ever made.

    Raises:
        RequestError: unknown encoding, broken data, or too large.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in GZIP_OR_ZLIB:
        detail = f"the body may be compressed by {' or '.join(GZIP_OR_ZLIB)} only"
        raise RequestError(Fault("unsupported_media_type", detail, field="Content-Encoding"))
    stream = zlib.decompressobj(GZIP_OR_ZLIB[encoding])
    try:
        plain = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _malformed(f"the body is not {encoding} data", "Content-Encoding") from None
    if len(plain) > max_bytes:
        detail = f"the body may have at most {max_bytes} bytes after decompression"
        raise RequestError(Fault("body_too_large", detail))
    if not stream.eof or stream.unused_data:
        raise _malformed(f"the body is not one complete {encoding} stream", "Content-Encoding")
    return plain


def split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    """The JSON part of a body and the binary data behind it.

    Args:
        body: of the request.
        json_length: value of Inference-Header-Content-Length; None if all of it is JSON.

    Raises:
        RequestError: the length is no number or beyond the body.
    """
    if json_length is None:
        return body, b""
    header = "Inference-Header-Content-Length"
    if not (json_length.isascii() and json_length.isdecimal() and len(json_length) <= 12):
        raise _malformed(f"{header} must be a number of bytes", header)
    if int(json_length) > len(body):
        raise _malformed(f"{header} is larger than the body of {len(body)} bytes", header)
    return body[: int(json_length)], body[int(json_length) :]


def read_texts(
    inputs: Sequence[InferInput], binary: bytes, *, max_texts: int
) -> dict[str, list[str]]:
    """The texts of each input tensor.

    Args:
        inputs: in the order of their binary data.
        binary: what is behind the JSON part.
        max_texts: bound of each tensor, checked before its data are read.

    Raises:
        RequestError: shape and data do not fit, or a text is not UTF-8.
    """
    texts: dict[str, list[str]] = {}
    start = 0
    for tensor in inputs:
        count = _count(tensor, max_texts)
        if tensor.name in texts:
            raise _malformed("an input is given twice", "inputs")
        size = tensor.parameters.binary_data_size if tensor.parameters else None
        if (size is None) == (tensor.data is None):
            raise _malformed("an input needs either data or binary_data_size", "inputs")
        if size is None:
            texts[tensor.name] = _flat(tensor)
        else:
            texts[tensor.name] = _from_binary(binary[start : start + size], count)
            start += size
        if len(texts[tensor.name]) != count:
            detail = f"an input of shape {tensor.shape} has {len(texts[tensor.name])} elements"
            raise _malformed(detail, "inputs")
    if start != len(binary):
        detail = f"the inputs say {start} bytes of binary data, the body has {len(binary)}"
        raise _malformed(detail, "inputs")
    return texts


def write_reply(
    head: Mapping[str, object], outputs: Sequence[Output], *, as_binary: Collection[str]
) -> tuple[bytes, int | None]:
    """A reply's body.

    Args:
        head: its fields besides the outputs.
        outputs: in the order of the reply.
        as_binary: names of those whose data go behind the JSON.

    Returns:
        The body and the length of its JSON part, None if that is all of it.
    """
    described: list[dict[str, object]] = []
    binary: list[bytes] = []
    for output in outputs:
        entry: dict[str, object] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if output.name in as_binary:
            binary.append(_to_binary(output))
            entry["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            entry["data"] = output.values
        described.append(entry)
    text = orjson.dumps({**head, "outputs": described})
    return (text + b"".join(binary), len(text)) if binary else (text, None)


def _count(tensor: InferInput, max_texts: int) -> int:
    """Elements of an input, by its shape."""
    if any(size < 0 for size in tensor.shape) or tensor.shape[1:] not in ([], [1]):
        raise _malformed(f"an input has shape [N] or [N, 1], got {tensor.shape}", "inputs")
    if tensor.shape[0] > max_texts:
        detail = f"{tensor.shape[0]} inputs, at most {max_texts} are taken in one request"
        raise RequestError(Fault("too_many_inputs", detail, field="inputs"))
    return tensor.shape[0]


def _flat(tensor: InferInput) -> list[str]:
    """The elements of an input in JSON, which may be nested as its shape says."""
    flat: list[str] = []
    for element in tensor.data or ():
        row = element if isinstance(element, list) and len(tensor.shape) == 2 else [element]
        if len(row) != 1 or not isinstance(row[0], str):
            raise _malformed("an element of an input's data must be a string", "inputs")
        flat.append(row[0])
    return flat


def _from_binary(data: bytes, count: int) -> list[str]:
    texts: list[str] = []
    start = 0
    while start < len(data) and len(texts) < count:
        end = start + 4
        if end <= len(data):
            end += struct.unpack_from("<I", data, start)[0]
        if end > len(data):
            raise _malformed("the binary data of an input end within an element", "inputs")
        try:
            texts.append(data[start + 4 : end].decode())
        except UnicodeDecodeError:
            fault = Fault("invalid_text", "an input is not UTF-8", len(texts), "inputs")
            raise RequestError(fault) from None
        start = end
    if start < len(data):
        raise _malformed("the binary data of an input go on after its last element", "inputs")
    return texts


def _to_binary(output: Output) -> bytes:
    if output.datatype == "FP32":
        return np.asarray(output.values, "<f4").tobytes()
    encoded = [str(value).encode() for value in output.values]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _malformed(detail: str, field: str) -> RequestError:
    return RequestError(Fault("malformed_body", detail, field=field))
