"""The public wire format: requests, replies and errors as pydantic models, with examples."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

TextInputs = Annotated[
    object,
    WithJsonSchema(
        {
            "description": "a text or a list of texts; with is_split_into_words a list of words "
            "or a list of lists of words",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "minItems": 1, "items": {"type": "string"}},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                },
            ],
        }
    ),
]
"""Checked in app/inputs.py: errors there name the input, pydantic's would name union branches."""


class Wire(BaseModel):
    """A part of the wire format; unknown keys are errors and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Parameters(Wire):
    """Parameters of a task, named as in Hugging Face's pipelines."""

    @property
    def is_calibrated(self) -> bool:
        """Whether what they ask for is what a cascade's confidence was fitted to."""
        return True


class TaskRequest(Wire):
    """Body of `POST /v1/{task}`; each task says what its inputs and parameters are."""

    inputs: object
    model: str | None = Field(
        None,
        max_length=128,
        description="`<model>[:<version>]`; an alias: default, teacher; auto: the most loyal "
        "model that answers within X-SLO-Ms; or cascade: the default model, and the teacher where "
        "that is not sure",
        examples=["default"],
    )
    parameters: Parameters | None = None


class Entity(Wire):
    """An entity; `word` is `text[start:end]`, counted in Unicode code points."""

    entity_group: str
    score: float = Field(ge=0, le=1)
    word: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class ProblemError(Wire):
    """One thing that is wrong: where and what."""

    code: str
    detail: str
    index: int | None = Field(None, description="position of the input, counted from 0")
    field: str | None = Field(None, description="place in the body, or name of the header")


class Problem(Wire):
    """An error (RFC 9457)."""

    type: str = Field(description="urn:loyal:error:<code>")
    title: str
    status: int
    detail: str
    instance: str = Field(description="request id")
    code: str = Field(description="stable and documented")
    errors: list[ProblemError]


class Limits(Wire):
    """What one request may hold."""

    max_tokens_per_window: int
    stride: int
    max_texts_per_request: int
    max_chars_per_text: int
    max_chars_per_context: int
    max_body_bytes: int
    request_timeout_ms: int


class ModelInfo(Wire):
    """A model version; what its manifest says is null if that cannot be read."""

    name: str = Field(description="`<task>/<model>:<version>`", examples=["ner/distil-multi-ro:2"])
    task: str
    model: str
    version: int
    aliases: list[str]
    state: Literal["unloaded", "loading", "ready", "failed"]
    reason: str | None = Field(description="why it is out of service")
    runtime: str | None = Field(None, description="engine that runs it")
    provider: str | None = Field(None, description="hardware that runs it")
    ms_per_token: float | None = Field(None, description="core time, measured at load")
    description: str | None = None
    labels: list[str] | None = None
    rating: list[str] | None = Field(
        None, description="labels of a second, finer answer; see parameters.labels"
    )
    languages: list[str] | None = None
    licence: str | None = None
    base: str | None = None
    teacher: str | None = None
    precision: str | None = None
    weights: str | None = None
    parameters: int | None = None
    size_bytes: int | None = Field(None, description="of the package's files")
    quality: dict[str, dict[str, float]] | None = None
    loyalty: dict[str, dict[str, float]] | None = None
    created: str | None = None
    commit: str | None = None
    limits: Limits | None = None


class TaskInfo(Wire):
    """The models of a task."""

    task: str
    alias_fault: str | None = Field(description="why its aliases cannot be used")
    models: list[ModelInfo]


class TaskList(Wire):
    """All tasks."""

    tasks: list[TaskInfo]


class ModelStatus(Wire):
    """A model in a health report."""

    name: str
    state: Literal["unloaded", "loading", "ready", "failed"]
    reason: str | None


class Health(Wire):
    """Answer of the probes."""

    status: Literal["ok", "starting", "unavailable", "draining"]
    reasons: list[str]
    models: list[ModelStatus]
