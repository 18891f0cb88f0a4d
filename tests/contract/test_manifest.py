import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.errors import PackageError
from app.contract.manifest import (
    CONTRACT_VERSION,
    MANIFEST,
    Manifest,
    read_manifest,
    sha256,
    verify_files,
    write_manifest,
)

PROJECTION = {"kind": "projection", "features": 128, "case": True, "max_tokens": 16, "stride": 4}


def content(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "contract_version": CONTRACT_VERSION,
        "task": "ner",
        "model": "distil-ro",
        "version": 1,
        "description": "A student.",
        "created": "2026-01-02T03:04:05+00:00",
        "commit": "0123456789ab",
        "recipe": "tiny.yaml",
        "base": "a-base",
        "teacher": None,
        "languages": ["ro"],
        "licence": "apache-2.0",
        "precision": "fp32",
        "weights": "fp32",
        "parameters": 10,
        "opset": 17,
        "encoder": {"kind": "subword", "max_tokens": 16, "stride": 4, "pad_id": 0},
        "head": {"kind": "spans", "labels": ["O", "B-PER", "I-PER"]},
        "quality": {"strict_f1": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}},
        "loyalty": {},
        "files": {"model.onnx": "0" * 64, "golden.json": "1" * 64},
    }
    return fields | changes


def calibration(**changes: object) -> dict[str, object]:
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    fields: dict[str, object] = {
        "temperature": 1.2,
        "threshold": 0.5,
        "target": 0.99,
        "label_loyalty": share,
        "escalation": share,
        "teacher": "ner/teacher-ro:1",
        "data": {"corpus": "ronec", "split": "valid[60%:]"},
    }
    return fields | changes


def package(root: Path, **changes: object) -> Path:
    folder = root / "ner" / "distil-ro" / "1"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps(content(**changes)), encoding="utf-8")
    return folder


@given(
    version=st.integers(1, 10**6),
    description=st.text(),
    value=st.floats(0, 1),
    languages=st.lists(st.sampled_from(["ro", "es", "en"]), min_size=1),
)
def test_written_and_read_manifests_are_equal(
    tmp_path_factory: pytest.TempPathFactory,
    version: int,
    description: str,
    value: float,
    languages: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("store") / "ner" / "distil-ro" / str(version)
    folder.mkdir(parents=True)
    score = {"value": value, "low": 0.0, "high": 1.0, "n": 1}
    manifest = Manifest.model_validate(
        content(version=version, description=description, languages=languages)
        | {"quality": {"strict_f1": score}}
    )

    write_manifest(folder, manifest)

    assert read_manifest(folder) == manifest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contract_version": 0}, r"contract_version is 0, this service reads 2; register"),
        ({"version": 2}, r"ner/distil-ro:1: .* says it is ner/distil-ro:2"),
        ({"surprise": 1}, r"surprise: Extra inputs"),
        (
            {"head": {"kind": "spans", "labels": ["O", "PER"]}},
            r"head.spans.labels: .*BIO labels are",
        ),
        ({"head": {"kind": "spans", "labels": ["O", "O"]}}, r"labels repeat"),
        ({"files": {"model.onnx": "0" * 64}}, r"golden.json must be listed"),
        (
            {"files": {"../model.onnx": "0" * 64, "golden.json": "1" * 64}},
            r"'../model.onnx': a plain file name",
        ),
        ({"files": {"model.onnx": "abc", "golden.json": "1" * 64}}, r"64 hexadecimal digits"),
        ({"calibration": calibration(temperature=0)}, r"calibration.temperature: .*greater than 0"),
        ({"calibration": calibration(threshold=1.5)}, r"calibration.threshold: .*less than or"),
        ({"calibration": calibration(teacher="teacher-ro")}, r"calibration.teacher: "),
        ({"calibration": calibration(teacher="sts/teacher:1")}, r"a model of ner is needed"),
        (
            {"calibration": calibration(escalation={"value": 2, "low": 0, "high": 2, "n": 1})},
            r"calibration.escalation: .*a share of n >= 1 items",
        ),
        (
            {
                "task": "sts",
                "head": {"kind": "score"},
                "calibration": calibration(teacher="sts/teacher:1"),
            },
            r"calibration: a score has no confidence",
        ),
        (
            {"encoder": PROJECTION, "task": "sts", "head": {"kind": "score"}},
            r"encoder: projected words cannot feed a head of 'score'",
        ),
        ({"encoder": PROJECTION | {"features": 100}}, r"encoder.projection.features: .*multiple"),
        ({"encoder": {"kind": "bytes"}}, r"encoder: Input tag 'bytes'"),
    ],
)
def test_a_bad_manifest_is_refused_with_what_is_wrong(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(PackageError, match=message):
        read_manifest(package(tmp_path, **changes))


def test_a_calibration_is_read_and_may_be_missing(tmp_path: Path) -> None:
    plain = read_manifest(package(tmp_path / "plain"))
    calibrated = read_manifest(package(tmp_path / "calibrated", calibration=calibration()))

    assert plain.calibration is None
    assert calibrated.calibration
    assert calibrated.calibration.model_dump() == calibration()


def test_a_missing_or_broken_manifest_is_refused(tmp_path: Path) -> None:
    folder = package(tmp_path)
    (folder / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(PackageError, match="not readable JSON"):
        read_manifest(folder)

    (folder / MANIFEST).unlink()
    with pytest.raises(PackageError, match="is missing"):
        read_manifest(folder)


def test_files_are_verified_by_hash_and_must_stay_inside(tmp_path: Path) -> None:
    folder = package(tmp_path)
    for name in ("model.onnx", "golden.json"):
        (folder / name).write_text(name, encoding="utf-8")
    digests = {name: sha256(folder / name) for name in ("model.onnx", "golden.json")}
    manifest = Manifest.model_validate(content(files=digests))
    verify_files(folder, manifest)

    (folder / "golden.json").write_text("changed", encoding="utf-8")
    with pytest.raises(PackageError, match=r"golden\.json does not match its sha256"):
        verify_files(folder, manifest)

    (folder / "golden.json").unlink()
    with pytest.raises(PackageError, match=r"golden\.json is missing"):
        verify_files(folder, manifest)

    outside = tmp_path / "golden.json"
    outside.write_text("golden.json", encoding="utf-8")
    (folder / "golden.json").symlink_to(outside)
    with pytest.raises(PackageError, match="outside the package"):
        verify_files(folder, manifest)
