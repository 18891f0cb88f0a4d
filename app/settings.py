"""Settings: LOYAL_* environment variables, made once at the edge and passed down.

Precedence: command-line flag > environment > default.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import StartupError

PREFIX = "LOYAL_"
OTHERS = frozenset({"LOYAL_DATA"})
"""Names with our prefix that belong to the training commands."""

OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^/\s*]+)$")]


def _split(value: object) -> object:
    """Items of a comma-separated list."""
    return [item.strip() for item in value.split(",")] if isinstance(value, str) else value


class Settings(BaseSettings):
    """What an operator can set; every limit is shown by `/v1/models`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="TCP port; 0 takes a free one")
    api_keys_file: Path | None = Field(None, description="hashed keys; without, none is needed")
    admin_keys_file: Path | None = Field(
        None, description="hashed keys that may do everything; without, no admin routes"
    )
    admin_host: str | None = Field(
        None, min_length=1, description="address of the admin listener; LOYAL_HOST if unset"
    )
    admin_port: int | None = Field(
        None, ge=0, le=65535, description="listener of its own for metrics and admin routes"
    )
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="web origins that may call, separated by commas; * for all"
    )
    docs: bool = Field(True, description="whether /docs, /openapi.json and the playground exist")
    model_store: Path = Field(Path("model_store"), description="folder of the model packages")
    max_texts_per_request: int = Field(32, ge=1, le=4096, description="inputs in one request")
    max_body_bytes: int = Field(2_000_000, ge=1024, le=10**9, description="request body, bytes")
    max_chars_per_text: int = Field(
        20_000, ge=1, le=10**7, description="length of one input, code points"
    )
    max_chars_per_context: int = Field(
        100_000, ge=1, le=10**7, description="length of the text a question is about, code points"
    )
    max_batch_tokens: int = Field(
        1024, ge=1, le=10**6, description="size of a batch, tokens, padding included"
    )
    max_batch_items: int = Field(8, ge=1, le=1024, description="windows in a batch")
    max_queue_items: int = Field(256, ge=1, le=10**6, description="windows waiting, per model")
    max_queue_tokens: int = Field(65_536, ge=1, le=10**8, description="tokens waiting, per model")
    max_request_tokens: int = Field(
        262_144, ge=1, le=10**8, description="tokens of one request, all its windows together"
    )
    max_queue_ms: int = Field(
        150,
        ge=1,
        le=600_000,
        description="time to work off what waits, per model, milliseconds; above it requests get "
        "429 at once; a slow model may always have six batches of work waiting",
    )
    request_timeout_ms: int = Field(
        10_000, ge=1, le=600_000, description="longest time for a request, milliseconds"
    )
    max_connections: int = Field(
        1000, ge=1, le=10**6, description="open at once; the admin listener has no limit"
    )
    head_timeout_s: float = Field(
        20.0, gt=0, le=600, description="time for a request's headers to arrive, seconds"
    )
    load: Literal["background", "on_demand"] = Field(
        "background",
        description="models that are no default load after those, or at their first request",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="threads that run models; 0 takes all usable cores"
    )
    shadow_share: float = Field(
        0.0, ge=0, le=1, description="requests that the teacher answers too, to measure loyalty"
    )
    shadow_window: int = Field(
        1000, ge=1, le=10**6, description="inputs that the loyalty gauges are about, per model"
    )
    drain_delay_s: float = Field(
        5.0, ge=0, le=600, description="serving on after SIGTERM, not ready, seconds"
    )
    shutdown_grace_s: float = Field(
        20.0, ge=0, le=600, description="time for accepted requests at shutdown, seconds"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level that is logged"
    )
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto", description="hardware that runs models; auto takes a GPU if there is one"
    )
    gpu_max_batch_tokens: int = Field(
        16_384, ge=1, le=10**6, description="LOYAL_MAX_BATCH_TOKENS of models that run on a GPU"
    )
    gpu_max_batch_items: int = Field(
        64, ge=1, le=1024, description="LOYAL_MAX_BATCH_ITEMS of models that run on a GPU"
    )
    gpu_memory_mb: int = Field(
        0, ge=0, le=10**6, description="GPU memory for the calls of a model, MiB; 0 for no limit"
    )
    cuda_graphs: bool = Field(
        False, description="record and replay the kernels of each batch shape; one call at a time"
    )
    tensorrt_cache: Path | None = Field(
        None, description="folder that keeps TensorRT's engines; without it, each start builds them"
    )
    runtime: Literal["onnxruntime", "openvino", "auto"] = Field(
        "onnxruntime",
        description="engine for fp32 models on a CPU; auto measures at load which is faster",
    )

    @model_validator(mode="after")
    def _listeners_differ(self) -> "Settings":
        if self.admin_port and self.admin_port == self.port:
            raise ValueError("LOYAL_ADMIN_PORT must differ from LOYAL_PORT")
        return self

    def batch_bounds(self, *, on_gpu: bool) -> dict[str, int]:
        """`max_batch_tokens` and `max_batch_items` of a model, by where it runs."""
        names = "max_batch_tokens", "max_batch_items"
        return {name: getattr(self, f"gpu_{name}" if on_gpu else name) for name in names}


def otlp_endpoint() -> str | None:
    """Where OpenTelemetry spans go: its own standard variable; None if they go nowhere."""
    return os.environ.get(OTLP_ENDPOINT) or None


def read_settings(flags: Mapping[str, object] | None = None) -> Settings:
    """Settings from flags and the environment.

    Args:
        flags: field name -> value of a command-line flag; None values are not set.

    Raises:
        StartupError: an unknown LOYAL_* name or a value out of bounds; exit code 2.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    ours = {name for name in os.environ if name.upper().startswith(PREFIX)} - OTHERS
    unknown = sorted(name for name in ours if name.upper() not in known)
    if unknown:
        raise StartupError(
            f"{unknown[0]} is not a setting; known are {', '.join(sorted(known))}", exit_code=2
        )
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:
            raise StartupError(first["msg"].removeprefix("Value error, "), exit_code=2) from error
        field = str(first["loc"][0])
        name = f"--{field.replace('_', '-')}" if field in given else PREFIX + field.upper()
        raise StartupError(
            f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r:.60}",
            exit_code=2,
        ) from error
