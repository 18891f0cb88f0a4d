"""Podman: images by the recipes as they stand, from a Debian that debootstrap makes.

The base image has a name that only a registry can give, so `--from` puts ours in its place. Images,
networks and volumes are kept in a folder, and gone with it.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.chroots import debian
from tests.deploy.indices import Mount, lend

BASE = "localhost/loyal-debian"
TOOLS = ("podman", "runc", "netavark", "aardvark-dns", "iptables")
HELPERS = "/usr/lib/podman"
"""Where Debian keeps some of them."""
LIMIT = 16384
TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 3600.0
"""Only for what hangs: a crowded machine needs less."""


def missing() -> str | None:
    """Why there are no containers here; None if there can be."""
    path = os.pathsep.join([os.environ["PATH"], HELPERS])
    absent = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    return f"needs {', '.join(absent)}; Debian has packages of these names" if absent else None


@dataclass(frozen=True, slots=True)
class Podman:
    """An engine of its own.

    Attributes:
        folder: of all that it keeps.
        lent: what builds see of this machine.
    """

    folder: Path
    lent: Sequence[Mount]

    @classmethod
    def within(cls, folder: Path) -> "Podman":
        """An engine whose only image is Debian.

        Raises:
            RuntimeError: debootstrap or podman failed; says how its output ends.
        """
        (folder / "storage.conf").write_text(
            '[storage]\ndriver = "overlay"\n'
            f'graphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        # Without CAP_SYS_RESOURCE no limit may rise, and podman's own defaults would; crun refuses
        # machines that have both kinds of cgroups.
        (folder / "containers.conf").write_text(
            "[containers]\n"
            f'default_ulimits = ["nofile={LIMIT}:{LIMIT}", "nproc={LIMIT}:{LIMIT}"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nlock_type = "file"\n'
            f'tmp_dir = "{folder}/tmp"\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n'
        )
        engine = cls(folder, lend(folder / "machine"))
        root, archive = folder / "debian", folder / "debian.tar"
        debian(root)
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        engine.call("import", archive, BASE)
        archive.unlink()
        shutil.rmtree(root)
        return engine

    @property
    def environment(self) -> Mapping[str, str]:
        """For podman, and for what calls it."""
        return os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    @property
    def build_arguments(self) -> list[str]:
        """Of `podman build`: our base, and this machine's way to package indices."""
        volumes = [part for m in self.lent for part in ("--volume", f"{m[0]}:{m[1]}:ro")]
        # Podman's own format of images has no HEALTHCHECK.
        return ["--format", "docker", "--from", BASE, "--network", "host", *volumes]

    def build(self, dockerfile: Path, context: Path, tag: str) -> None:
        """Make an image by its recipe.

        Raises:
            RuntimeError: a step failed; says how its output ends.
        """
        arguments = [*self.build_arguments, "--file", dockerfile, "--tag", tag, context]
        self.call("build", *arguments, timeout_s=BUILD_TIMEOUT_S)

    def size_bytes(self, tag: str) -> int:
        """Of an image, with its base."""
        return int(self.call("image", "inspect", "--format", "{{.Size}}", tag))

    def run(
        self, *arguments: object, timeout_s: float = TIMEOUT_S
    ) -> subprocess.CompletedProcess[str]:
        """Any podman command, whatever its exit code.

        Raises:
            subprocess.TimeoutExpired: it hangs.
        """
        return subprocess.run(
            ["podman", *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def call(self, *arguments: object, timeout_s: float = TIMEOUT_S) -> str:
        """Standard output of a command.

        Raises:
            RuntimeError: it failed; says how its output ends.
        """
        done = self.run(*arguments, timeout_s=timeout_s)
        if done.returncode != 0:
            output = (done.stdout + done.stderr)[-3000:]
            raise RuntimeError(f"podman {arguments[0]}: exit {done.returncode}\n{output}")
        return done.stdout.strip()

    def remove(self) -> None:
        """End and delete all containers, and the folder."""
        self.run("rm", "--all", "--force", "--time", "0")
        self.run("network", "prune", "--force")
        subprocess.run(["rm", "-r", "--one-file-system", self.folder], check=True)
