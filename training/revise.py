"""The next version of a registered package: the same model, with a calibration."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from app.contract.errors import PackageError
from app.contract.manifest import (
    ADAPTERS,
    CARD,
    EVALUATION,
    MODEL,
    Calibration,
    Manifest,
    read_manifest,
)
from app.contract.pipeline import Package
from training.card import revised_card
from training.evaluate import Record
from training.register import newest_version, publish, seal, write_evaluation
from training.runners import package_runner


def revise(package: Package, calibration: Calibration, record: Record) -> Path:
    """Copy a package into its model's next version, unless the newest one already is the result.

    Manifest, card and evaluation record are written anew, everything else is copied.

    Args:
        package: that was calibrated; stays as it is.
        calibration: for the manifest.
        record: what was fitted and measured, for eval.json and the card.

    Returns:
        The new package's folder.

    Raises:
        StepError: it could not be assembled; the store is left as it was.
    """
    home = package.path.parent
    newest = newest_version(home) or package.path
    wanted = package.manifest.model_copy(update={"calibration": calibration})
    if _is_same(newest, wanted):
        return newest

    def assemble(folder: Path) -> None:
        for name in package.manifest.files:
            shutil.copyfile(package.path / name, folder / name)
        evaluation = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
        evaluation |= {"calibration": record}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = wanted.model_copy(update={"version": int(folder.name), "created": created})
        card = (folder / CARD).read_text(encoding="utf-8")
        card = revised_card(card, package.manifest, manifest, record)
        write_evaluation(folder, evaluation)
        (folder / CARD).write_text(card, encoding="utf-8")
        seal(folder, manifest, package_runner(Package(folder, manifest, package.encoder)))

    return publish(home, assemble)


def _is_same(newest: Path, wanted: Manifest) -> bool:
    """Whether a version is what would be written: same model and same calibration."""
    try:
        manifest = read_manifest(newest)
    except PackageError:
        return False
    changing = {"version", "created", "files"}
    return manifest.model_dump(exclude=changing) == wanted.model_dump(exclude=changing) and all(
        manifest.files.get(name) == wanted.files.get(name) for name in (MODEL, ADAPTERS)
    )
