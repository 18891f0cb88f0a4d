"""The model store as folders: `<task>/<model>/<version>/` and `<task>/aliases.json`."""

import json
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from app.contract.manifest import ALIASES, NAME_PATTERN, not_reserved
from app.errors import StartupError

DEFAULT = "default"
TEACHER = "teacher"
VERSION = re.compile("[1-9][0-9]{0,8}")


def _free(target: str) -> str:
    not_reserved(target.partition(":")[0])
    return target


ModelName = Annotated[
    str, Field(pattern=rf"^{NAME_PATTERN}(:[1-9][0-9]*)?$"), AfterValidator(_free)
]


class Canary(BaseModel):
    """A model that takes a share of the requests which name none.

    Attributes:
        weight: the share, in [0, 1].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: ModelName
    weight: float = Field(ge=0, le=1)


class Aliases(BaseModel):
    """`aliases.json`: role -> `<model>[:<version>]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    default: ModelName
    teacher: ModelName | None = None
    canary: Canary | None = None

    @model_validator(mode="before")
    @classmethod
    def _names_are_free(cls, content: object) -> object:
        for name in content if isinstance(content, dict) else ():
            not_reserved(name)
        return content

    @property
    def targets(self) -> dict[str, str]:
        """The names that a request may use instead of a model's."""
        return self.model_dump(include={DEFAULT, TEACHER}, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The packages of one task.

    Attributes:
        task: its name.
        packages: model -> version -> folder; at least one.
        aliases: None if the file cannot be used.
        alias_fault: why it cannot be used, one line; None if it can.
    """

    task: str
    packages: Mapping[str, Mapping[int, Path]]
    aliases: Aliases | None
    alias_fault: str | None


def scan(store: Path, tasks: Collection[str]) -> list[Shelf]:
    """List the packages in a store without opening them.

    Names that start with a dot and versions that are no number are skipped: a package is written
    beside its place and renamed into it.

    Args:
        store: the folder.
        tasks: those with a route; other folders are skipped.

    Raises:
        StartupError: no folder, not readable, or without any package.
    """
    try:
        if not store.is_dir():
            found = "a file, not a folder" if store.exists() else "missing"
            raise StartupError(
                f"model store {store} is {found}; set LOYAL_MODEL_STORE to the folder"
            )
        shelves = [_read_shelf(store / task, task) for task in tasks if (store / task).is_dir()]
    except OSError as error:
        raise StartupError(
            f"model store {store} is not readable: {error.strerror}: {error.filename}; "
            f"`chmod -R a+rX` lets every user read it"
        ) from error
    shelves = [shelf for shelf in shelves if shelf.packages]
    if not shelves:
        raise StartupError(
            f"model store {store} has no package <task>/<model>/<version> of a task that is "
            f"served here ({', '.join(tasks)}); set LOYAL_MODEL_STORE or register a model"
        )
    return shelves


def find_versions(task: Path, model: str) -> dict[int, Path]:
    """The versions of a model in a task's folder; empty if there is no such model.

    Raises:
        OSError: the folder cannot be read.
    """
    # The name may come from a request: only a plain one is ever part of a path.
    if not re.fullmatch(NAME_PATTERN, model) or not (task / model).is_dir():
        return {}
    folders = (path for path in (task / model).iterdir() if VERSION.fullmatch(path.name))
    return {int(path.name): path for path in sorted(folders) if path.is_dir()}


def read_aliases(task: Path) -> tuple[Aliases | None, str | None]:
    """The aliases in a task's folder, or why they cannot be used."""
    try:
        return Aliases.model_validate(json.loads((task / ALIASES).read_bytes())), None
    except FileNotFoundError:
        return None, f'{ALIASES} is missing; write {{"default": "<model>"}}'
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        return None, f"{ALIASES}: {place}: {first['msg']}"
    except (OSError, ValueError) as error:
        return None, f"{ALIASES} is not readable JSON ({type(error).__name__})"


def write_aliases(task: Path, aliases: Aliases) -> None:
    """Replace the aliases in a task's folder, whole or not at all.

    Raises:
        OSError: the store cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{ALIASES}-", dir=task)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(aliases.model_dump_json(indent=2, exclude_none=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's files are for the owner only; other services may read this store.
        os.chmod(name, 0o644)
        os.replace(name, task / ALIASES)
    except BaseException:
        os.unlink(name)
        raise


def _read_shelf(folder: Path, task: str) -> Shelf:
    found = {path.name: find_versions(folder, path.name) for path in sorted(folder.iterdir())}
    packages = {name: versions for name, versions in found.items() if versions}
    aliases, fault = read_aliases(folder)
    return Shelf(task, packages, aliases, fault)
