"""What a measurement was made on: without it a number means nothing."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("onnxruntime", "tokenizers", "numpy", "fastapi", "uvicorn", "locust")


def describe_environment() -> dict[str, object]:
    """Hardware and how busy it is, versions, commit and command of this run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": available_cores(),
        "load_average": os.getloadavg()[0],
        "os": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": commit(),
        "command": " ".join(["python", "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]]),
    }


def available_cores() -> int:
    """Cores this process may use: a container often has fewer than the machine."""
    return len(cores_of())


def cores_of() -> list[int]:
    """Their numbers; at least one."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_model() -> str:
    """The processor's own name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


WRITTEN_HERE = (":!loadtests/RESULTS.md", ":!loadtests/results")
"""Results, which are no change of what was measured."""


def commit() -> str:
    """Commit of the working tree, "-dirty" appended if a file has changes, results left aside."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "-uno", "--", ".", *WRITTEN_HERE)
    return f"{head}-dirty" if head and changed else head or "unknown"


def _git(*arguments: str) -> str:
    git = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return git.stdout.strip()
