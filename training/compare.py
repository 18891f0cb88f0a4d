"""A table of registered packages, read from their manifests and evaluation records."""

import json
from collections.abc import Sequence
from pathlib import Path

from app.contract.errors import ContractError
from app.contract.manifest import EVALUATION, read_manifest
from training.errors import StepError


def compare(packages: Sequence[Path]) -> str:
    """Markdown: quality, loyalty, size and speed, one row a package.

    Raises:
        StepError: a folder is not a package.
    """
    rows: list[dict[str, str]] = []
    for package in packages:
        try:
            manifest = read_manifest(package)
            evaluation = json.loads((package / EVALUATION).read_text(encoding="utf-8"))
        except (ContractError, OSError, ValueError) as error:
            raise StepError(f"{package}: {error}") from error
        scores = manifest.quality | manifest.loyalty
        rows.append(
            {"package": manifest.name, "precision": manifest.precision}
            | {
                name: f"{score.value:.4f} ({score.low:.4f} to {score.high:.4f}; n {score.n})"
                for name, score in scores.items()
            }
            | {"parameters": f"{manifest.parameters:,}", "bytes": f"{evaluation['bytes']:,}"}
            | {
                f"texts/s at {size}": f"{speed['texts_per_second']} ({speed['ratio']}x)"
                for size, speed in evaluation["speed"].items()
            }
            | {"measured on": evaluation["hardware"]}
        )
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    lines += [f"| {' | '.join(row.get(name, '') for name in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"
