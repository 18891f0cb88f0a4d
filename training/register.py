"""Drafts to packages of the store: assembled aside, verified as the service would, renamed once."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.contract.encoded_text import Input, Pair
from app.contract.encoding import load_encoder
from app.contract.errors import ContractError
from app.contract.golden import read_golden, record, replay, tolerance_of
from app.contract.manifest import (
    ADAPTERS,
    ALIASES,
    CARD,
    CONTRACT_VERSION,
    ENCODER_FILES,
    EVALUATION,
    GOLDEN,
    HALF_MODEL,
    MODEL,
    TRUNKS,
    Manifest,
    read_manifest,
    sha256,
    trunk_path,
    write_manifest,
)
from app.contract.pipeline import Package, Runner
from training.card import write_card
from training.errors import StepError
from training.evaluate import Record
from training.files import write_text
from training.model_files import Parts
from training.runners import package_runner


@dataclass(frozen=True, slots=True)
class Draft:
    """A model ready to be registered.

    Attributes:
        model: ONNX file, of the whole.
        tokenizer: what the encoder reads, tokenizer.json or lexicon.json.
        fields: the manifest, but for version, created, contract_version and files.
        evaluation: content of eval.json.
        data_notes: for the card.
        shares_trunk: whether its parts, beside the whole, are registered instead of it.
        half: the graph in fp16, if there is one.
    """

    model: Path
    tokenizer: Path
    fields: dict[str, object]
    evaluation: Record
    data_notes: str
    shares_trunk: bool = False
    half: Path | None = None

    @property
    def parts(self) -> Parts | None:
        """The graphs that are registered instead of the whole."""
        return Parts.beside(self.model) if self.shares_trunk else None

    @property
    def graphs(self) -> dict[str, Path]:
        """The graphs in the package's folder, by their names there."""
        if self.parts is None:
            return {MODEL: self.model} | ({HALF_MODEL: self.half} if self.half else {})
        return {MODEL: self.parts.head, ADAPTERS: self.parts.adapters}


def register(draft: Draft, store: Path, *, golden_inputs: list[Input]) -> Path:
    """Write the next version of a model, unless the newest one already is this draft.

    Returns:
        The package folder.

    Raises:
        StepError: the assembled package does not pass the checks of the service, or the disk is
            full; the store is left as it was.
    """
    home = store / str(draft.fields["task"]) / str(draft.fields["model"])
    newest = newest_version(home)
    if newest and _is_same(draft, newest, golden_inputs):
        return newest
    return publish(home, lambda package: _assemble(draft, package, golden_inputs))


def read_golden_inputs(path: Path) -> list[Input]:
    """Examples of a file, one a line: a text, or a pair with a tab between."""
    lines = path.read_text(encoding="utf-8").splitlines()
    split = [line.partition("\t") for line in lines if line]
    return [Pair(first, second) if tab else first for first, tab, second in split]


def newest_version(home: Path) -> Path | None:
    """The newest version of a model, sound or not."""
    versions = [int(path.name) for path in home.glob("*") if path.name.isdigit()]
    return home / str(max(versions)) if versions else None


def registered(model: str, packages: dict[str, Path], *, home: Path, exports: Path) -> str:
    """`<task>/<model>:<version>` of a package: one made now, or the newest that has this graph.

    Args:
        model: its name.
        packages: those made now, by model.
        home: `<store>/<task>`.
        exports: folder of the graphs, `<model>.onnx`.

    Raises:
        StepError: there is none, or the newest has another graph.
    """
    package = packages.get(model) or newest_version(home / model)
    if package is None or sha256(package / MODEL) != sha256(exports / f"{model}.onnx"):
        raise StepError(
            f"{home.name}/{model} is not in the store as it was trained here; register it first, "
            "name it in register_only, or say `stored: false` of it"
        )
    return f"{home.name}/{model}:{package.name}"


def publish(home: Path, assemble: Callable[[Path], None]) -> Path:
    """Write the next version of a model: whole, or not at all.

    Args:
        home: `<store>/<task>/<model>`.
        assemble: fills an empty folder, whose path ends like that of the package, and checks it.

    Returns:
        The package folder.

    Raises:
        StepError: it could not be assembled; the store is left as it was.
    """
    home.mkdir(parents=True, exist_ok=True)
    newest = newest_version(home)
    version = str(int(newest.name) + 1 if newest else 1)
    # The loader reads task, model and version off the path, so the draft is built at that depth.
    store = home.parent.parent
    aside = Path(tempfile.mkdtemp(prefix=".register-", dir=store))
    package = aside / home.parent.name / home.name / version
    try:
        package.mkdir(parents=True)
        (aside / TRUNKS).mkdir()
        for trunk in (store / TRUNKS).glob("*.onnx"):
            (aside / TRUNKS / trunk.name).symlink_to(trunk.resolve())
        assemble(package)
        _sync(package)
        _keep_trunks(aside / TRUNKS, store / TRUNKS)
        package.rename(home / version)
    except (ContractError, OSError) as error:
        raise StepError(f"{home.name}:{version} was not registered: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return home / version


def write_evaluation(package: Path, evaluation: Record) -> None:
    """Write `eval.json`."""
    (package / EVALUATION).write_text(
        json.dumps(evaluation, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def seal(package: Path, manifest: Manifest, run: Runner) -> None:
    """Write the manifest with the hashes of the files beside it, and check all as the service does.

    Raises:
        PackageError: the package could not be served.
    """
    files = {path.name: sha256(path) for path in sorted(package.iterdir())}
    write_manifest(package, manifest.model_copy(update={"files": files}))
    replay(Package.load(package), run)


def set_aliases(store: Path, task: str, **aliases: str) -> None:
    """Point aliases (default, teacher) of a task to models; the others stay."""
    path = store / task / ALIASES
    current = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_text(path, json.dumps(current | aliases, indent=2) + "\n")


def _is_same(draft: Draft, newest: Path, golden_inputs: list[Input]) -> bool:
    """Whether a registered package is what this draft would become."""
    try:
        manifest = read_manifest(newest).model_dump(mode="json")
        own = _manifest(draft, manifest["version"]).model_dump(mode="json")
        recorded = [example.contract_input for example in read_golden(newest).examples]
        evaluation = json.loads((newest / EVALUATION).read_text(encoding="utf-8"))
        encoding = newest / ENCODER_FILES[manifest["encoder"]["kind"]]
        files = [(newest / name, path) for name, path in draft.graphs.items()]
        files.append((encoding, draft.tokenizer))
        return (
            all(manifest[key] == own[key] for key in own.keys() - {"created", "commit", "files"})
            and draft.data_notes.strip() in (newest / CARD).read_text(encoding="utf-8")
            and recorded == golden_inputs
            and evaluation == json.loads(json.dumps(draft.evaluation))
            and all(sha256(a) == sha256(b) for a, b in files)
        )
    except (ContractError, OSError, ValueError):
        return False


def _manifest(draft: Draft, version: int) -> Manifest:
    """The manifest, with the hashes still to come."""
    return Manifest.model_validate(
        draft.fields
        | {
            "contract_version": CONTRACT_VERSION,
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "trunk": sha256(draft.parts.trunk) if draft.parts else None,
            "files": dict.fromkeys((MODEL, GOLDEN), "0" * 64),
        }
    )


def _assemble(draft: Draft, package: Path, golden_inputs: list[Input]) -> None:
    for name, graph in draft.graphs.items():
        shutil.copyfile(graph, package / name)
    write_evaluation(package, draft.evaluation)
    manifest = _manifest(draft, int(package.name))
    shutil.copyfile(draft.tokenizer, package / ENCODER_FILES[manifest.encoder.kind])
    if draft.parts and not (trunk := trunk_path(package, manifest)).exists():
        shutil.copyfile(draft.parts.trunk, trunk)
    unfinished = Package(package, manifest, load_encoder(package, manifest))
    run = package_runner(unfinished)
    tolerance = tolerance_of(manifest.head, manifest.precision)
    golden = record(unfinished, run, golden_inputs, tolerance=tolerance)
    (package / GOLDEN).write_text(golden.model_dump_json() + "\n", encoding="utf-8")
    write_card(package / CARD, manifest, draft.evaluation, draft.data_notes)
    seal(package, manifest, run)


def _keep_trunks(drafted: Path, store: Path) -> None:
    """Move the trunks that are new into the store."""
    for trunk in drafted.iterdir():
        if not trunk.is_symlink():
            store.mkdir(exist_ok=True)
            trunk.rename(store / trunk.name)


def _sync(package: Path) -> None:
    for path in package.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
