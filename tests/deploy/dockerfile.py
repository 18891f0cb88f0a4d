"""The instructions of a Dockerfile, and the files that its build may copy."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM"}
INSTRUCTIONS |= {"HEALTHCHECK", "LABEL", "RUN", "USER", "WORKDIR"}
"""What is understood here. Any other is an error, so that no instruction goes unproven."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        name: in capitals.
        flags: `--from=build` as {"from": "build"}.
        value: the rest, on one line.
    """

    name: str
    flags: Mapping[str, str]
    value: str

    @property
    def arguments(self) -> list[str]:
        """The words of the value, of its exec form if it has one."""
        return json.loads(self.value) if self.value[:1] == "[" else shlex.split(self.value)


@dataclass(frozen=True, slots=True)
class Stage:
    """What follows one FROM."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, name: str) -> Instruction | None:
        """The one that holds where several would contradict each other."""
        found = [one for one in self.instructions if one.name == name]
        return found[-1] if found else None


def read_stages(path: Path) -> list[Stage]:
    """The stages of a Dockerfile.

    Raises:
        ValueError: an instruction that is not understood here.
    """
    stages: list[Stage] = []
    for instruction in _instructions(path.read_text(encoding="utf-8")):
        if instruction.name == "FROM":
            base, *name = re.split(r"\s+AS\s+", instruction.value)
            stages.append(Stage(name[0] if name else str(len(stages)), base))
        else:
            stages[-1].instructions.append(instruction)
    return stages


def context_files(root: Path) -> list[str]:
    """Paths of a fresh clone that `.dockerignore` lets into a build; its last match decides."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    patterns = (root / ".dockerignore").read_text(encoding="utf-8").split()
    kept = []
    for path in map(PurePosixPath, sorted(set(listing.stdout.splitlines()))):
        verdicts = [one[0] == "!" for one in patterns if _covers(one.removeprefix("!"), path)]
        if not verdicts or verdicts[-1]:
            kept.append(str(path))
    return kept


def _covers(pattern: str, path: PurePosixPath) -> bool:
    """Whether a pattern names a file or a folder above it."""
    steps = [path, *path.parents][: len(path.parts)]
    if pattern.startswith("**/"):
        return any(fnmatchcase(step.name, pattern[3:]) for step in steps)
    return any(fnmatchcase(str(step), pattern.removesuffix("/**")) for step in steps)


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, value = line.strip().partition(" ")
        if name not in INSTRUCTIONS:
            raise ValueError(f"instruction {name} is not understood here; teach it or drop it")
        flags = {}
        while match := re.match(r"\s*--([\w-]+)=(\S+)\s+", value):
            flags[match[1]] = match[2]
            value = value[match.end() :]
        yield Instruction(name, flags, " ".join(value.split()))
