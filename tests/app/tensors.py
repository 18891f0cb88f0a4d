"""Requests of the Open Inference Protocol, written by hand."""

import struct

import httpx


def elements(texts: list[str]) -> bytes:
    """BYTES elements, as the specification of the binary extension writes them."""
    return b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)


def tensor(
    name: str = "text", *, shape: list[int], data: object = None, size: int | None = None
) -> dict[str, object]:
    described: dict[str, object] = {"name": name, "shape": shape, "datatype": "BYTES"}
    described |= {} if data is None else {"data": data}
    return described | ({} if size is None else {"parameters": {"binary_data_size": size}})


def assert_error(response: httpx.Response, status: int, *mentioned: str) -> None:
    """The response has the protocol's form of an error."""
    content = response.json()
    assert (response.status_code, content.keys()) == (status, {"error"}), content
    for text in mentioned:
        assert text in content["error"]
