"""Images without a container engine: each RUN of a recipe in a Debian root, by chroot.

A stage FROM Debian begins as debootstrap makes it, less the documentation that the official slim
image leaves out too. Mounts are made in a namespace of their own and end with its process.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.deploy.dockerfile import Instruction, Stage, context_files, read_stages
from tests.deploy.indices import Mount, lend

SUITE = "bookworm"
TOOLS = ("debootstrap", "unshare", "chroot", "mount", "setpriv")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXIES = [f for name in ("http_proxy", "https_proxy", "no_proxy") for f in (name, name.upper())]
"""Variables that a build takes from this machine, as container engines do, if they are set."""
RESOLVER = [(Path(path), path) for path in ("/etc/resolv.conf", "/etc/hosts")]

# In these, "$root" is the root; they run in a mount and process namespace of their own.
BUILD_MOUNTS = """
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
printf '%s\\n' "$LENT" | while read -r source target; do
    if [ -d "$source" ]; then mkdir -p "$root$target"; else touch "$root$target"; fi
    mount --bind "$source" "$root$target"
done
"""
SERVE_MOUNTS = """
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o size=16m tmpfs "$root/tmp"
if [ -n "$STORE" ]; then
    mount --bind "$STORE" "$root/models"
    mount -o remount,bind,ro "$root/models"
fi
mount -o remount,bind,ro "$root"
"""


def missing() -> str | None:
    """Why roots cannot be made here; None if they can."""
    if os.geteuid() != 0:
        return "needs root, to make Debian roots and enter them"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"needs {', '.join(absent)}; Debian's packages debootstrap and util-linux have them"
    probe = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        return "needs namespaces in which it may mount"
    return None


@dataclass(slots=True)
class Image:
    """What a recipe makes.

    Attributes:
        root: its files.
        env: its variables.
        workdir: where its commands run.
        user: UID:GID of its commands; empty for root.
        stage: the instructions that made it.
        lent: what RUN steps see of this machine.
    """

    root: Path
    stage: Stage
    env: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = ""
    lent: Sequence[Mount] = ()

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """A RUN step: by /bin/sh, with the network of this machine."""
        proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
        mounts = [f"{source} {target}" for source, target in (*RESOLVER, *self.lent)]
        return subprocess.run(
            _enter(BUILD_MOUNTS, self.root, self._inside(["/bin/sh", "-c", script], proxies)),
            env={"PATH": PATH, "LENT": "\n".join(mounts)},
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def serving(self, *, store: Path | None, **settings: object) -> Iterator[subprocess.Popen[str]]:
        """The entrypoint as the image's user, on a read-only root, as process 1 of its namespace.

        Args:
            store: mounted read-only on /models; nothing if None.
            settings: LOYAL_* variables.
        """
        variables = {f"LOYAL_{name.upper()}": str(value) for name, value in settings.items()}
        entrypoint, cmd = self.stage.last("ENTRYPOINT"), self.stage.last("CMD")
        assert entrypoint
        assert cmd
        command = [*entrypoint.arguments, *cmd.arguments]
        popen = subprocess.Popen(
            _enter(SERVE_MOUNTS, self.root, self._inside(command, variables)),
            env={"PATH": PATH, "STORE": str(store.resolve()) if store else ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield popen
        finally:
            if popen.poll() is None:
                inner_process(popen).kill()  # and with it all of its namespace
            popen.communicate()

    def size_bytes(self) -> int:
        """Of all files, links counted once."""
        files = {
            (status.st_dev, status.st_ino): status.st_size
            for folder, _, names in os.walk(self.root)
            for name in names
            if (status := os.lstat(os.path.join(folder, name)))
        }
        return sum(files.values())

    def _inside(self, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        drop: list[str] = []
        if self.user:
            user, _, group = self.user.partition(":")
            drop = f"setpriv --reuid {user} --regid {group or user} --clear-groups".split()
            drop += ["--no-new-privs", "--bounding-set", "-all", "--inh-caps", "-all"]
        env = [f"{name}={value}" for name, value in (self.env | dict(variables)).items()]
        return [*drop, "env", "-i", "-C", self.workdir, *env, *command]


def build(dockerfile: Path, context: Path, folder: Path) -> Image:
    """Carry out a recipe.

    Args:
        dockerfile: the recipe.
        context: the folder it copies from, with a `.dockerignore`.
        folder: gets a root for each stage.

    Returns:
        The last stage.

    Raises:
        RuntimeError: a RUN step failed; says which, and how its output ends.
    """
    images: dict[str, Image] = {}
    files = context_files(context)
    lent = lend(folder / "machine")
    for stage in read_stages(dockerfile):
        image = Image(folder / stage.name, stage, lent=lent)
        if stage.base in images:
            base = images[stage.base]
            subprocess.run(["cp", "-a", base.root, image.root], check=True)
            image.env, image.workdir, image.user = dict(base.env), base.workdir, base.user
        else:
            assert stage.base.startswith(f"debian:{SUITE}-slim"), stage.base
            debian(image.root)
        for instruction in stage.instructions:
            _carry_out(instruction, image, images, context, files)
        images[stage.name] = image
    return image


def debian(root: Path) -> None:
    """What `FROM debian:<suite>-slim` gives: the smallest installation, without documentation.

    Raises:
        RuntimeError: debootstrap failed; says how its output ends.
    """
    command = ["unshare", "--mount", "debootstrap", "--variant=minbase", SUITE, str(root)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"debootstrap failed:\n{(result.stdout + result.stderr)[-2000:]}")
    for left_out in ("doc", "man", "info", "locale"):
        shutil.rmtree(root / "usr/share" / left_out, ignore_errors=True)
    options = "".join(
        f"path-exclude /usr/share/{one}/*\n" for one in ("doc", "man", "info", "locale")
    )
    (root / "etc/dpkg/dpkg.cfg.d/docker").write_text(f"force-unsafe-io\n{options}")
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    for index in (root / "var/lib/apt/lists").glob("*_*"):
        index.unlink()


def inner_process(popen: subprocess.Popen[str]) -> psutil.Process:
    """The one that is process 1 in the namespace which `serving` made."""
    outer = psutil.Process(popen.pid)
    while not (children := outer.children()):
        time.sleep(0.01)
    return children[0]


def _enter(mounts: str, root: Path, command: Sequence[str]) -> list[str]:
    script = f'set -eu; root=$1; shift; {mounts}\nexec chroot "$root" "$@"'
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*unshare, "sh", "-c", script, "enter", str(root), *command]


def _carry_out(
    instruction: Instruction,
    image: Image,
    images: Mapping[str, Image],
    context: Path,
    files: Sequence[str],
) -> None:
    match instruction.name:
        case "RUN":
            result = image.run(instruction.value)
            if result.returncode != 0:
                output = (result.stdout + result.stderr)[-3000:]
                raise RuntimeError(f"RUN {instruction.value}: exit {result.returncode}\n{output}")
        case "COPY":
            *sources, target = instruction.arguments
            destination = image.root / os.path.join(image.workdir, target).lstrip("/")
            if "from" in instruction.flags:
                [source] = sources
                origin = images[instruction.flags["from"]].root / source.lstrip("/")
                destination.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-a", origin, destination], check=True)
                return
            for source in sources:
                _copy(context, files, source, destination, is_folder=target.endswith("/"))
        case "ENV":
            for pair in instruction.arguments:
                name, _, image.env[name] = pair.partition("=")
        case "WORKDIR":
            image.workdir = os.path.join(image.workdir, instruction.value)
            (image.root / image.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            image.user = instruction.value
        case "ARG":
            raise RuntimeError("ARG is not understood here: write its value into the recipe")
        case _:  # describes what runs later: read by `serving` and by the tests
            pass


def _copy(
    context: Path, files: Sequence[str], source: str, destination: Path, *, is_folder: bool
) -> None:
    """COPY of one source out of the context; a folder gives its content."""
    inside = [name for name in files if name == source or name.startswith(f"{source}/")]
    if not inside:
        raise RuntimeError(f"COPY {source}: not there, or .dockerignore leaves it out")
    for name in inside:
        relative = Path(name).name if name == source else name.removeprefix(f"{source}/")
        single = name == source and not is_folder
        to = destination if single else destination / relative
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(context / name, to)
