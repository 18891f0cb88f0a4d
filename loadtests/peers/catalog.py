"""The peers: what each needs, how it is started, how it is asked; and their environments."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVIRONMENTS = ROOT / ".venv-peers"
CONSTRAINTS = HERE / "constraints.txt"
INSTALL_TIMEOUT_S = 1200

LEAN = ("numpy", "onnxruntime", "tokenizers")
PIPELINE = (
    "fastapi",
    "onnxruntime",
    "optimum",
    "optimum-onnx",
    "transformers",
    "uvicorn[standard]",
)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server for the same model.

    Attributes:
        name: as the report has it.
        environment: folder of its packages.
        requirements: of the environment.
        arguments: of its Python, from port and a folder for files of its own.
        wrap: a text -> the body of a request.
        unwrap: the body of a reply -> the entities of the text.
        needs_torch: torch is installed before everything else.
    """

    name: str
    environment: str
    requirements: tuple[str, ...]
    arguments: Callable[[int, Path], list[str]]
    wrap: Callable[[str], object] = lambda text: {"inputs": text}
    unwrap: Callable[[Any], Any] = lambda answer: answer
    needs_torch: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.environment / "bin" / "python"

    def versions(self) -> dict[str, str]:
        """What is installed of its requirements."""
        code = (
            "import json, sys; from importlib.metadata import version; "
            "print(json.dumps({n: version(n) for n in sys.argv[1:]}))"
        )
        names = [name.partition("[")[0] for name in self.requirements]
        command = [self.python, "-c", code, *names, *(["torch"] if self.needs_torch else [])]
        found: dict[str, str] = json.loads(subprocess.check_output(command))
        return found


def _module(name: str, *more: str) -> Callable[[int, Path], list[str]]:
    return lambda port, folder: [
        "-m",
        f"loadtests.peers.{name}",
        str(port),
        *(str(folder) if argument == "FOLDER" else argument for argument in more),
    ]


PEERS = (
    Peer("LitServe", "litserve", ("litserve", *LEAN), _module("litserve_server")),
    Peer(
        "FastAPI, optimum pipeline",
        "pipelines",
        PIPELINE,
        _module("pipeline_server", "onnxruntime", "FOLDER"),
        needs_torch=True,
    ),
    Peer(
        "FastAPI, transformers pipeline",
        "pipelines",
        PIPELINE,
        _module("pipeline_server", "torch", "FOLDER"),
        needs_torch=True,
    ),
    Peer("Ray Serve", "ray", ("ray[serve]", *LEAN), _module("ray_server")),
    Peer(
        "BentoML",
        "bentoml",
        ("bentoml", *LEAN),
        lambda port, _: [
            *("-m", "bentoml", "serve", "loadtests.peers.bentoml_server:Ner"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        wrap=lambda text: {"inputs": [text]},
        unwrap=lambda answer: answer[0],
    ),
)


def install(peer: Peer) -> str | None:
    """Make the environment of a peer, unless it is there; why that failed, None if it did not."""
    folder = ENVIRONMENTS / peer.environment
    wanted = hashlib.sha256(
        CONSTRAINTS.read_bytes() + repr((sys.version_info[:2], peer.requirements)).encode()
    ).hexdigest()
    stamp = folder / ".ready"
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    pip = [peer.python, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS]
    index = os.environ.get("TORCH_INDEX")
    torch = [[*pip, *(["--index-url", index] if index else []), "torch"]]
    steps = [
        [sys.executable, "-m", "venv", "--clear", folder],
        *(torch if peer.needs_torch else []),
        [*pip, *peer.requirements],
    ]
    try:
        for step in steps:
            subprocess.run(
                step, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
            )
    except subprocess.TimeoutExpired:
        return f"the installation took longer than {INSTALL_TIMEOUT_S} s"
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.startswith("ERROR")]
        return f"the installation failed: {lines[-1] if lines else error.returncode}"
    stamp.write_text(wanted)
    return None
