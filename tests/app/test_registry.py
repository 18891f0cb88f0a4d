"""A package that is not right stays out of service with its reason; the service stays up."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from app.contract.manifest import ALIASES, GOLDEN, MANIFEST, MODEL, TOKENIZER, sha256
from app.errors import StartupError
from app.metrics import Metrics
from app.registry import Registry
from app.settings import Settings
from app.store import scan
from tests.app.harness import assert_problem, serving, starting
from tests.tiny_graphs import LABELS
from tests.tiny_package import build, edit_json, reseal, write_aliases

pytestmark = pytest.mark.anyio


def change_a_byte(package: Path) -> None:
    content = bytearray((package / MODEL).read_bytes())
    content[-1] ^= 1
    (package / MODEL).write_bytes(content)


def cut_the_graph(package: Path) -> None:
    (package / MODEL).write_bytes((package / MODEL).read_bytes()[:100])
    reseal(package)


def ask_for_an_unknown_input(package: Path) -> None:
    graph = onnx.load(package / MODEL)
    graph.graph.input.append(helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, [1]))
    onnx.save(graph, package / MODEL)
    reseal(package)


def rename_the_output(package: Path) -> None:
    graph = onnx.load(package / MODEL)
    graph.graph.output[0].name = graph.graph.node[0].output[0] = "scores"
    onnx.save(graph, package / MODEL)
    reseal(package)


def shift_the_golden_logits(package: Path) -> None:
    golden = json.loads((package / GOLDEN).read_bytes())
    logits = golden["examples"][0]["outputs"][0]["logits"]
    golden["examples"][0]["outputs"][0]["logits"] = (np.asarray(logits) + 0.1).tolist()
    (package / GOLDEN).write_text(json.dumps(golden))
    reseal(package)


def name_one_label_more(package: Path) -> None:
    head = {"kind": "spans", "labels": [*LABELS, "B-ORG"]}
    edit_json(package / MANIFEST, head=head)


def keep_the_weights_at(location: str, package: Path) -> None:
    """Move the table out of the graph; the file has what the graph had."""
    graph = onnx.load(package / MODEL)
    [table] = graph.graph.initializer
    (package.parent / "weights.bin").write_bytes(table.raw_data)
    (package / "weights.bin").write_bytes(table.raw_data)
    table.ClearField("raw_data")
    table.data_location = onnx.TensorProto.EXTERNAL
    table.external_data.add(key="location", value=location)
    (package / MODEL).write_bytes(graph.SerializeToString())
    reseal(package)


def keep_the_weights_outside(package: Path, location: str) -> None:
    keep_the_weights_at(location, package)
    (package / "weights.bin").unlink()


def link_to(target: Path, path: Path) -> None:
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed file": (change_a_byte, "model.onnx does not match its sha256"),
    "missing file": (lambda p: (p / TOKENIZER).unlink(), "tokenizer.json is missing"),
    "missing manifest": (lambda p: (p / MANIFEST).unlink(), "manifest.json is missing"),
    "broken manifest": (lambda p: (p / MANIFEST).write_text("{"), "not readable JSON"),
    "other contract": (
        lambda p: edit_json(p / MANIFEST, contract_version=99),
        "contract_version is 99",
    ),
    "other place": (lambda p: edit_json(p / MANIFEST, model="twin"), "says it is ner/twin:1"),
    "broken graph": (cut_the_graph, "not a graph"),
    "unknown input": (ask_for_an_unknown_input, "unknown here: ['pixels']"),
    "other output": (rename_the_output, "no output 'logits'"),
    "unlisted file": (lambda p: (p / "notes.txt").touch(), "notes.txt is not listed"),
    "unlisted folder": (lambda p: (p / "weights").mkdir(), "weights is not listed"),
    "hidden file": (lambda p: (p / ".cache").touch(), ".cache is not listed"),
    "unlisted link": (
        lambda p: (p / "etc").symlink_to("/etc", target_is_directory=True),
        "etc is not listed",
    ),
    "link out of the package": (
        lambda p: link_to(p.parent / "elsewhere", p / MODEL),
        "model.onnx links to a place outside",
    ),
    "link to another version": (
        lambda p: link_to(p.parents[1] / "tiny/1/tokenizer.json", p / TOKENIZER),
        "tokenizer.json links to a place outside",
    ),
    "listed file elsewhere": (
        lambda p: edit_json(p / MANIFEST, files={"../tiny/1/model.onnx": "0" * 64}),
        "a plain file name inside the package is needed",
    ),
    "weights in an unlisted file": (
        lambda p: keep_the_weights_at("weights.bin", p),
        "weights.bin is not listed",
    ),
    "weights above the package": (
        lambda p: keep_the_weights_outside(p, "../weights.bin"),
        "not a graph that onnxruntime",
    ),
    "weights at an absolute path": (
        lambda p: keep_the_weights_outside(p, str(p.parent / "weights.bin")),
        "not a graph that onnxruntime",
    ),
    "golden mismatch": (shift_the_golden_logits, "golden example 0: logits differ"),
    "label count": (name_one_label_more, "logits has 5 labels, the manifest names 6"),
}


@pytest.mark.parametrize(("damage", "reason"), FAULTS.values(), ids=FAULTS.keys())
async def test_faulty_package_is_out_of_service_and_its_neighbour_serves(
    store: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(build(store, model="faulty"))

    async with serving(store) as api:
        refused = await api.ner("Ion", model="faulty")
        served = await api.ner("Ion")
        ready = await api.http.get("/readyz")
        info = (await api.http.get("/v1/models/ner/faulty")).json()
        loaded = await api.total("loyal_model_loaded", model="faulty")
        failed = await api.total("loyal_model_failed", model="faulty")
        neighbour_failed = await api.total("loyal_model_failed", model="tiny")

    assert_problem(refused, 503, "model_unavailable", "ner/faulty:1", reason)
    assert served.status_code == 200
    assert ready.status_code == 200
    assert (info["state"], loaded, failed, neighbour_failed) == ("failed", 0, 1, 0)
    assert reason in info["reason"]


async def test_weights_in_a_listed_file_are_verified_and_served(store: Path) -> None:
    package = store / "ner/tiny/1"
    keep_the_weights_at("weights.bin", package)
    files = json.loads((package / MANIFEST).read_bytes())["files"]
    edit_json(package / MANIFEST, files=files | {"weights.bin": sha256(package / "weights.bin")})

    async with serving(store) as api:
        served = await api.ner("Ion")
    weights = bytearray((package / "weights.bin").read_bytes())
    weights[0] ^= 1
    (package / "weights.bin").write_bytes(weights)
    async with serving(store) as api:
        refused = await api.ner("Ion")

    assert served.status_code == 200
    assert_problem(refused, 503, "model_unavailable", "weights.bin does not match its sha256")


async def test_faulty_default_model_makes_the_service_not_ready(store: Path) -> None:
    build(store, model="other")
    change_a_byte(store / "ner/tiny/1")

    async with serving(store) as api:
        ready = await api.http.get("/readyz")
        other = await api.ner("Ion", model="other")
        default = await api.ner("Ion")

    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert "sha256" in ready.json()["reasons"][0]
    assert other.status_code == 200
    assert_problem(default, 503, "model_unavailable", "sha256")


async def test_faulty_newest_version_is_not_replaced_in_silence(store: Path) -> None:
    change_a_byte(build(store, version=2))

    async with serving(store) as api:
        newest = await api.ner("Ion", model="tiny")
        older = await api.ner("Ion", model="tiny:1")

    assert_problem(newest, 503, "model_unavailable", "ner/tiny:2")
    assert older.headers["X-Model"] == "ner/tiny:1"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not readable JSON"),
        ("[]", "aliases.json: the file"),
        ("{}", "aliases.json: default"),
        ('{"default": 3}', "aliases.json: default"),
        ('{"default": "../tiny"}', "aliases.json: default"),
        ('{"default": "tiny", "best": "tiny"}', "aliases.json: best"),
        ('{"default": "tiny", "canary": {"model": "tiny"}}', "aliases.json: canary.weight"),
        ('{"default": "gone"}', "alias default names gone, which is not in the store"),
        ('{"default": "tiny:2"}', "alias default names tiny:2, which is not in the store"),
        (None, "aliases.json is missing"),
    ],
)
async def test_unusable_alias_leaves_models_reachable_by_name(
    store: Path, content: str | None, reason: str
) -> None:
    aliases = store / "ner" / ALIASES
    aliases.unlink() if content is None else aliases.write_text(content)

    async with serving(store) as api:
        named = await api.ner("Ion", model="tiny")
        default = await api.ner("Ion")
        ready = await api.http.get("/readyz")

    assert named.status_code == 200
    assert_problem(default, 503, "model_unavailable", reason)
    assert ready.status_code == 503
    assert reason in ready.json()["reasons"][0]


async def test_alias_of_the_teacher_may_lead_nowhere_without_harm(store: Path) -> None:
    write_aliases(store, default="tiny", teacher="gone")

    async with serving(store) as api:
        teacher = await api.ner("Ion", model="teacher")
        ready = await api.http.get("/readyz")

    assert_problem(teacher, 503, "model_unavailable", "alias teacher names gone")
    assert ready.status_code == 200


async def test_model_still_loading_is_503_with_retry_after(store: Path) -> None:
    async with starting(store) as api:
        response = await api.ner("Ion")
        ready = await api.http.get("/readyz")
        started = await api.http.get("/startupz")
        alive = await api.http.get("/livez")

    assert_problem(response, 503, "model_loading", "ner/tiny:1")
    assert int(response.headers["Retry-After"]) > 0
    assert (ready.status_code, ready.json()["status"]) == (503, "starting")
    assert started.status_code == 503
    assert alive.status_code == 200


async def test_default_models_load_first(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    build(store, model="another")

    async with serving(store):
        pass

    loaded = [vars(r)["model"] for r in caplog.records if r.getMessage() == "model_ready"]
    assert loaded == ["ner/tiny:1", "ner/another:1"]


@pytest.mark.parametrize(
    ("draw", "name", "answered"),
    [
        (0.04, None, "ner/new:1"),
        (0.04, "default", "ner/new:1"),
        (0.05, None, "ner/tiny:1"),
        (0.04, "tiny", "ner/tiny:1"),
    ],
)
async def test_canary_answers_its_share_of_requests_that_name_no_model(
    store: Path, draw: float, name: str | None, answered: str
) -> None:
    build(store, model="new")
    write_aliases(store, default="tiny", canary={"model": "new", "weight": 0.05})
    settings = Settings(model_store=store)
    registry = Registry(scan(store, ["ner"]), settings, Metrics(), threads=1, draw=lambda: draw)
    await registry.load_all()

    model = registry.resolve("ner", name)

    assert model.manifest.name == answered
    registry.stop()
    registry.close()


async def test_faulty_canary_takes_no_requests(store: Path) -> None:
    change_a_byte(build(store, model="new"))
    write_aliases(store, default="tiny", canary={"model": "new", "weight": 1.0})

    async with serving(store) as api:
        response = await api.ner("Ion")

    assert response.headers["X-Model"] == "ner/tiny:1"


async def test_unfinished_and_foreign_folders_are_skipped(store: Path) -> None:
    package = store / "ner/tiny/1"
    for name in ("ner/tiny/.tmp-2", "ner/tiny/latest", "ner/tiny/02", "ner/Tiny/1", "images/x/1"):
        shutil.copytree(package, store / name)
    (store / "README.md").write_text("about this store")

    [shelf] = scan(store, ["ner", "qa"])

    assert shelf.packages == {"tiny": {1: package}}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "is missing"),
        (lambda path: path.write_text(""), "a file, not a folder"),
        (lambda path: path.mkdir(), "has no package"),
        (lambda path: (path / "ner/tiny").mkdir(parents=True), "has no package"),
    ],
    ids=["missing", "file", "empty", "no version"],
)
def test_store_without_packages_is_refused_at_start(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(tmp_path / "store")

    with pytest.raises(StartupError, match=reason):
        scan(tmp_path / "store", ["ner"])
