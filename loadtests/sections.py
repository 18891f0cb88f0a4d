"""What RESULTS.md says of each benchmark, made from its JSON file."""

from typing import Any

from loadtests.markdown import megabytes, provenance, spread, table


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


def startup_section(result: dict[str, Any]) -> str:
    names = {
        "ready": "`/readyz` answers 200",
        "loaded": "all models have loaded",
        "used": f"{result['requests']} requests later",
    }
    rows = [
        [
            names[row["moment"]],
            len(row["models"]),
            spread(row["wall_s"]),
            spread(row["cpu_s"]),
            megabytes(row["rss_bytes"]),
            *(f"{row['limit_bytes'][kind] / 1e6:.0f}" for kind in ("disk", "memory")),
        ]
        for row in result["rows"]
    ]
    columns = ["moment", "models", "s", "CPU s", "RSS MB", "limit MB, disk", "limit MB, memory"]
    return "\n".join(
        [
            "## Start and memory\n",
            f"From exec, n = {result['n']} starts, files in the page cache: median [lowest to "
            f"highest]. The goal is {result['goal_s']:g} s to ready. The limits are "
            f"{result['factor']:g} times the bytes of the models, as graphs on disk or as weights "
            f"in memory, plus {result['base_bytes'] / 1e6:.0f} MB. Requests that failed: "
            f"{result['errors']}.\n",
            table(columns, rows),
            provenance(result["environment"]),
        ]
    )
