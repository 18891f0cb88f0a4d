"""The wire format of the Open Inference Protocol v2 (REST), as far as our models go."""

from typing import Literal

from pydantic import Field

from app.schemas import Wire


class ProtocolError(Wire):
    """Every error of /v2."""

    error: str


class ServerMetadata(Wire):
    """Answer of `/v2`."""

    name: str
    version: str
    extensions: list[str]


class Live(Wire):
    """Answer of `/v2/health/live`."""

    live: bool


class Ready(Wire):
    """Answer of `/v2/health/ready`."""

    ready: bool


class ModelReady(Wire):
    """Answer of `/v2/models/{name}/ready`."""

    name: str
    ready: bool


class TensorMetadata(Wire):
    """A tensor that a model takes or gives; -1 is the number of inputs in the request."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]


class ModelMetadata(Wire):
    """Answer of `/v2/models/{name}`."""

    name: str = Field(description="`<task>.<model>`", examples=["ner.distil-multi-ro"])
    versions: list[str]
    platform: Literal["onnx_onnxv1"] = "onnx_onnxv1"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InputParameters(Wire):
    """Parameters of an input tensor."""

    binary_data_size: int | None = Field(
        None, ge=0, description="bytes of its data behind the JSON, instead of `data`"
    )


class InferInput(Wire):
    """An input tensor: N texts."""

    name: str = Field(max_length=64)
    shape: list[int] = Field(
        min_length=1, max_length=2, description="[N] or [N, 1]", examples=[[1]]
    )
    datatype: Literal["BYTES"]
    parameters: InputParameters | None = None
    data: list[object] | None = Field(None, description="N strings, flat or nested as in shape")


class OutputParameters(Wire):
    """Parameters of a requested output."""

    binary_data: bool | None = Field(
        None, description="give its data behind the JSON; else as binary_data_output says"
    )


class RequestedOutput(Wire):
    """An output that the reply shall hold."""

    name: str = Field(max_length=64)
    parameters: OutputParameters | None = None

    def is_binary(self, *, default: bool) -> bool:
        """Whether its data go behind the JSON."""
        asked = self.parameters.binary_data if self.parameters else None
        return default if asked is None else asked


class InferParameters(Wire):
    """Parameters of the protocol; beside them stand those of the task."""

    timeout: int = Field(
        0,
        ge=0,
        le=10**12,
        description="deadline, microseconds; can only shorten the server's; 0 for none",
    )
    binary_data_output: bool = Field(
        False, description="give the data of outputs behind the JSON, unless they say otherwise"
    )


class InferRequest(Wire):
    """Body of `/v2/models/{name}/infer`, before the binary data."""

    id: str | None = Field(None, max_length=128, description="echoed")
    parameters: dict[str, object] = Field(
        {},
        description="those of the task's /v1 route, and InferParameters",
    )
    inputs: list[InferInput] = Field(min_length=1, max_length=8)
    outputs: list[RequestedOutput] = Field([], max_length=8, description="all of them if empty")


class OutputSize(Wire):
    """Parameters of an output whose data are behind the JSON."""

    binary_data_size: int


class InferOutput(Wire):
    """An output tensor."""

    name: str
    datatype: Literal["BYTES", "FP32"]
    shape: list[int]
    parameters: OutputSize | None = None
    data: list[str] | list[float] | None = None


class InferReply(Wire):
    """Answer of `/v2/models/{name}/infer`, before the binary data."""

    id: str | None = None
    model_name: str
    model_version: str
    outputs: list[InferOutput]


class IndexRequest(Wire):
    """Body of `/v2/repository/index`; may be left out."""

    ready: bool = Field(False, description="list only what is ready")


class IndexEntry(Wire):
    """A model version in the repository."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class LoadParameters(Wire):
    """How to load a model."""

    version: int | None = Field(None, ge=1, description="the newest in the store if not given")
    default: bool = Field(False, description="let it answer requests that name no model")
    canary_weight: float | None = Field(
        None, ge=0, le=1, description="share of those requests that it takes; 0 ends the canary"
    )

    @property
    def gives_role(self) -> bool:
        """Whether aliases change."""
        return self.default or self.canary_weight is not None


class LoadRequest(Wire):
    """Body of `/v2/repository/models/{name}/load`; may be left out."""

    parameters: LoadParameters | None = None


class LoadReply(Wire):
    """What a load led to."""

    name: str
    version: str
    aliases: dict[str, object] | None = Field(description="of the task, as they are now")
    aliases_written: bool | None = Field(
        description="whether aliases.json says the same; null if they were not changed"
    )


class UnloadParameters(Wire):
    """How to unload a model."""

    version: int | None = Field(None, ge=1, description="all versions if not given")
    unload_dependents: bool = Field(False, description="without meaning: no model has dependents")


class UnloadRequest(Wire):
    """Body of `/v2/repository/models/{name}/unload`; may be left out."""

    parameters: UnloadParameters | None = None
