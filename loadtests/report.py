"""RESULTS.md from the JSON files of results/, whichever benchmark ran last."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def write_report() -> str:
    """Write RESULTS.md and return its text."""
    parts = ["# Measured speed\n\nWritten by `make load` and `make bench`; do not edit.\n"]
    for name, section in (("ner", service_section), ("session", session_section)):
        path = RESULTS / f"{name}.json"
        if path.exists():
            parts.append(section(json.loads(path.read_text(encoding="utf-8"))))
    text = "\n".join(parts)
    (HERE / "RESULTS.md").write_text(text, encoding="utf-8")
    return text


def service_section(result: dict[str, Any]) -> str:
    rows = [
        [
            " ".join(row["answered_by"]) or row["model"],
            row["users"],
            *(f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            *(f"{row[name]:.1f}" for name in ("requests_per_s", "texts_per_s")),
            row["errors"],
            f"{row['padding_share']:.0%}",
        ]
        for row in result["rows"]
    ]
    columns = [
        "model",
        "users",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "requests/s",
        "texts/s",
        "errors",
        "padding",
    ]
    ratios = [
        [row["users"], spread(row["texts_per_s"]), spread(row["p50"])] for row in result["ratios"]
    ]
    return "\n".join(
        [
            "## The service under load: `POST /v1/ner`\n",
            f"Closed-loop users, {result['repetitions']} interleaved runs of "
            f"{result['seconds']:g} s each. One request in ten carries 2 to 8 texts; latencies are "
            "those of requests with one text. The load generator runs on the same cores.\n",
            table(columns, rows),
            "Student against teacher, median of the runs [lowest to highest]; above 1 the student "
            "is faster:\n",
            table(["users", "texts/s", "p50 latency"], ratios),
            provenance(result["environment"]),
        ]
    )


def session_section(result: dict[str, Any]) -> str:
    rows = [
        [
            row["model"],
            row["batch_size"],
            *(f"{row[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            f"{row['texts_per_s']:.1f}",
            f"{row['padding_share']:.0%}",
            spread(row["speed_up"]),
        ]
        for row in result["rows"]
    ]
    columns = ["model", "batch", "p50 ms", "p95 ms", "p99 ms", "texts/s", "padding", "speed-up"]
    return "\n".join(
        [
            "## The graph alone: one ONNX Runtime session in process\n",
            f"One thread, spinning off, {result['repetitions']} interleaved passes over "
            f"{result['texts']} texts, tokenization included; latencies are those of a batch. "
            f"Speed-up over {result['rows'][0]['model']}: median of the passes "
            "[lowest to highest].\n",
            table(columns, rows),
            provenance(result["environment"]),
        ]
    )


def table(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def spread(values: dict[str, float]) -> str:
    return f"{values['median']:.2f} [{values['low']:.2f} to {values['high']:.2f}]"


def provenance(environment: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    return (
        f"{environment['cpu']}, {environment['cores']} cores, {environment['os']}; "
        f"Python {environment['python']}, {versions}; commit {environment['commit']}; "
        f"{environment['date']}; `{environment['command']}`.\n"
    )
