"""How a build reaches package indices from this machine: its settings, lent to the build."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

INSIDE = "/run/machine"
Mount = tuple[Path, str]
"""What is lent, and where a build finds it."""


def lend(folder: Path) -> Sequence[Mount]:
    """Write pip's configuration into a folder, from the variables that this machine sets for pip.

    Returns:
        What has to be mounted, read-only.
    """
    folder.mkdir()
    settings = {"timeout": os.environ.get("PIP_DEFAULT_TIMEOUT", "60")}
    if authorities := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
        shutil.copy(authorities, folder / "authorities.crt")
        settings["cert"] = f"{INSIDE}/authorities.crt"
    if index := os.environ.get("PIP_INDEX_URL"):
        settings["index-url"] = index
    mounts = [(folder, INSIDE), (folder / "pip.conf", "/etc/pip.conf")]
    if (wheels := os.environ.get("PIP_FIND_LINKS")) and Path(wheels).is_dir():
        settings["find-links"] = f"{INSIDE}-wheels"
        mounts.append((Path(wheels), f"{INSIDE}-wheels"))
    lines = [f"{name} = {value}\n" for name, value in settings.items()]
    (folder / "pip.conf").write_text("".join(["[global]\n", *lines]))
    return mounts
