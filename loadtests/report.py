"""RESULTS.md from the JSON files of results/, whichever benchmark ran last."""

import json
from pathlib import Path
from typing import Any

from loadtests import sections
from loadtests.environment import describe_environment

HERE = Path(__file__).parent


NO_GPU = """## On a GPU

Not measured: nothing here has run on a GPU. What would run there is tested with stand-ins
(`tests/app/test_engine.py`, `tests/app/test_gpu_session.py`).
"""


def record(name: str, result: dict[str, Any], *, folder: Path = HERE) -> str:
    """Keep what a benchmark measured, with what it was measured on; returns the new report."""
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        result | {"environment": describe_environment()}, indent=2, ensure_ascii=False
    )
    (results / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return write_report(folder)


def write_report(folder: Path = HERE) -> str:
    """Write RESULTS.md from the results in a folder, and return its text."""
    parts = ["# Measured speed\n\nWritten by `make results` and its targets; do not edit.\n"]
    missing = []
    for name, (section, target) in SECTIONS.items():
        path = folder / "results" / f"{name}.json"
        if path.exists():
            parts.append(section(json.loads(path.read_text(encoding="utf-8"))))
        else:
            missing.append(f"`make {target}`")
    if "CUDAExecutionProvider" not in "".join(parts):
        parts.append(NO_GPU)
    if missing:
        parts.append(f"## Not measured yet\n\n{', '.join(missing)}.\n")
    text = "\n".join(parts)
    (folder / "RESULTS.md").write_text(text, encoding="utf-8")
    return text


SECTIONS = {
    "load": (sections.load_section, "load"),
    "encode": (sections.encode_section, "bench-encode"),
    "bench": (sections.bench_section, "bench"),
    "peers": (sections.peers_section, "bench-peers"),
    "overload": (sections.overload_section, "bench-overload"),
    "long_requests": (sections.long_requests_section, "bench-long"),
    "soak": (sections.soak_section, "soak"),
    "startup": (sections.startup_section, "bench-startup"),
    "trunks": (sections.trunks_section, "bench-trunks"),
}
"""In the order of RESULTS.md, with the target that measures."""
