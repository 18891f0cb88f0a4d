"""RESULTS.md from the JSON files of results/, whichever benchmark ran last."""

import json
from pathlib import Path
from typing import Any

from loadtests import sections
from loadtests.environment import describe_environment

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def record(name: str, result: dict[str, Any]) -> str:
    """Keep what a benchmark measured, with what it was measured on; returns the new report."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(
        result | {"environment": describe_environment()}, indent=2, ensure_ascii=False
    )
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return write_report()


def write_report() -> str:
    """Write RESULTS.md and return its text."""
    parts = [
        "# Measured speed\n\nWritten by `make load` and the targets `make bench...`; do not edit.\n"
    ]
    for name, section in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            parts.append(section(json.loads(path.read_text(encoding="utf-8"))))
    text = "\n".join(parts)
    (HERE / "RESULTS.md").write_text(text, encoding="utf-8")
    return text


SECTIONS = {
    "ner": sections.service_section,
    "encode": sections.encode_section,
    "session": sections.session_section,
    "peers": sections.peers_section,
    "overload": sections.overload_section,
    "long_requests": sections.long_requests_section,
    "soak": sections.soak_section,
    "startup": sections.startup_section,
}
"""In the order of RESULTS.md."""
