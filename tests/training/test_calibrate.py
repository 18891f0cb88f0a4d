import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.contract.encoded_text import Arrays
from app.contract.errors import ContractError
from app.contract.heads import Head, ScoreHead, SpanHead
from app.contract.manifest import read_manifest
from app.contract.pipeline import Outputs, Package
from tests.tiny_graphs import LABELS, TAGS, VOCABULARY
from tests.tiny_package import build, reseal
from training.__main__ import main
from training.calibrate import Half, calibrate, halves
from training.datasets.examples import (
    Example,
    GoldAnswer,
    LabelledText,
    Question,
    TaggedSentence,
    Utterance,
)
from training.errors import DataError
from training.evaluate import Engine, engine_of

HARD = "Timișoara"
"""The place that the doubtful student takes for nothing, and knows little about."""


def sentences() -> list[TaggedSentence]:
    people, places = ("Maria", "Ion", "Maria Ionescu"), ("București", HARD, "Iași")
    found = []
    for (a, x), (b, y) in itertools.product(itertools.product(people, places), repeat=2):
        words = (*a.split(), "merge", "la", x, "și", *b.split(), "merge", "la", y, ".")
        space = (True,) * (len(words) - 2) + (False, False)
        found.append(TaggedSentence(words, tuple(TAGS[word] for word in words), space))
    return found


def model(package: Path, *, margin: float | None = None, head: Head | None = None) -> Engine:
    """The tags of tiny_graphs; with a margin, HARD is O by that much."""
    table = np.zeros((len(VOCABULARY), len(LABELS)), np.float32)
    for word, tag in TAGS.items():
        table[VOCABULARY.index(word), LABELS.index(tag)] = 8.0
    if margin is not None:
        row = table[VOCABULARY.index(HARD)]
        row[:] = 0.0
        row[0] = margin

    def run(arrays: Arrays) -> Outputs:
        return {"logits": table[arrays["input_ids"]]}

    return Engine(Package.load(package).encoder, run, head or SpanHead(labels=LABELS))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("store"))


def test_what_the_student_doubts_goes_to_the_teacher_and_nothing_else(package: Path) -> None:
    fit, measured = halves(sentences())

    record = calibrate(model(package, margin=0.5), model(package), sentences(), 0.999)

    asked = sum(HARD in sentence.words for sentence in measured)
    assert record["measured"]["label_loyalty"]["cascade"]["value"] == 1.0
    assert record["measured"]["escalation"]["value"] == pytest.approx(asked / len(measured))
    assert (record["fitted"]["inputs"], record["measured"]["inputs"]) == (len(fit), len(measured))


def test_a_cascade_scores_between_student_and_teacher(package: Path) -> None:
    record = calibrate(model(package, margin=0.5), model(package), sentences(), 0.999)

    scores = {
        who: found["strict_f1_running_text"]["value"]
        for who, found in record["measured"]["quality"].items()
    }

    assert scores["student"] < scores["cascade"] == scores["teacher"] == 1.0


PLACES = ("București", HARD, "Iași")


def examples(task: str) -> list[Example]:
    """Some of each task, which the tiny packages (tests/tiny_graphs.py) know how to answer."""
    texts = [" ".join(words) for words in itertools.product(PLACES, ("și", "la", "merge"), PLACES)]
    match task:
        case "tagging":
            return [
                replace(sentence, tags=("X",) * len(sentence.words)) for sentence in sentences()
            ]
        case "sentiment":
            words = ("bun", "rău"), ("positive", "negative")
            pairs = zip(*words, strict=True)
            return [LabelledText(f"{t} {word}", label) for word, label in pairs for t in texts]
        case "parse":
            tags = ("O", "B-SL:LOCATION")
            told = [TaggedSentence((text, "Iași"), tags, (True, False)) for text in texts]
            return [Utterance(sentence, "IN:GET_WEATHER") for sentence in told]
        case _:
            contexts = [
                (place, f"{place} {' '.join(rest)}")
                for place in PLACES
                for rest in itertools.product(("la", "și", "merge"), repeat=2)
            ]
            return [Question(c, "Unde?", c, (GoldAnswer(place, 0),)) for place, c in contexts]


@pytest.mark.parametrize("task", ["tagging", "sentiment", "parse", "qa"])
def test_any_task_with_confidence_can_be_calibrated(task: str, tmp_path: Path) -> None:
    """Against itself nobody has to be asked."""
    one = engine_of(Package.load(build(tmp_path, task=task)))

    record = calibrate(one, one, examples(task), 0.8)

    measured = record["measured"]
    assert record["threshold"] == 0.0
    assert measured["label_loyalty"]["student"]["value"] == 1.0
    assert measured["same_answer"]["value"] == 1.0
    assert measured["quality"]["student"] == measured["quality"]["teacher"]


def test_an_answer_is_doubted_as_often_as_the_teacher_gives_another(tmp_path: Path) -> None:
    """The student is equally sure of every place; on HARD, a third, the teacher says another."""
    package = Package.load(build(tmp_path, task="qa"))
    student = engine_of(package)

    def run(arrays: Arrays) -> Outputs:
        outputs = dict(student.run(arrays))
        place = arrays["input_ids"] == VOCABULARY.index(HARD)
        return {name: np.where(place, -9.0, logits) for name, logits in outputs.items()}

    half = Half.read(student, Engine(package.encoder, run, package.head), examples("qa"))

    found = half.agreements(half.temperature())

    share = float((found.equal == found.compared).mean())
    assert share == pytest.approx(2 / 3)
    assert found.confidence == pytest.approx(share, abs=0.01)


def test_nothing_of_the_measured_half_enters_the_fit(package: Path) -> None:
    """Temperature and threshold are the same when the measured half has other sentences."""
    fit, measured = halves(sentences())
    pair = model(package, margin=0.5), model(package)

    whole = calibrate(*pair, [*fit, *measured], 0.999)
    fewer = calibrate(*pair, [*fit, *measured[:3]], 0.999)

    assert [whole[key] for key in ("temperature", "threshold", "fitted")] == [
        fewer[key] for key in ("temperature", "threshold", "fitted")
    ]
    assert fewer["measured"]["inputs"] == 3


def test_a_target_out_of_reach_says_what_was_reached(package: Path) -> None:
    """Every sentence has a word on which the student differs, and is equally unsure of it."""
    hard = [s for s in sentences() if s.words.count(HARD) == 2]

    record = calibrate(model(package, margin=0.5), model(package), hard, 1.0)

    assert record["threshold"] is None
    assert record["fitted"]["label_loyalty"]["cascade"]["value"] < 1.0
    assert "measured" not in record


def test_halves_are_told_apart_by_text_alone_and_never_share_one() -> None:
    all_of_them = sentences()
    fit, measured = halves(all_of_them)
    again = halves(all_of_them[::-1])

    assert {s.text for s in fit} == {s.text for s in again[0]}
    assert not {s.text for s in fit} & {s.text for s in measured}
    assert len(fit) + len(measured) == len(all_of_them)
    assert abs(len(fit) - len(measured)) < len(all_of_them) / 3


def test_questions_on_one_context_stay_in_one_half() -> None:
    questions = [
        Question(f"{c} {q}", f"Ce este {q}?", f"Context {c}", (GoldAnswer("Context", 0),))
        for c in range(20)
        for q in range(5)
    ]

    fit, measured = halves(questions)

    assert not {q.context for q in fit} & {q.context for q in measured}


def test_too_little_to_halve_is_refused() -> None:
    with pytest.raises(DataError, match="1 examples are too few"):
        halves(sentences()[:1])


def test_scores_have_no_cascade(package: Path) -> None:
    head = ScoreHead()

    with pytest.raises(ContractError, match="a score has no confidence"):
        calibrate(model(package, head=head), model(package, head=head), sentences(), 0.9)


@pytest.fixture
def student(package: Path, tmp_path: Path) -> Path:
    """A package with the card and evaluation record that a road would have given it."""
    store = tmp_path / "store"
    shutil.copytree(package.parents[2], store)
    folder = build(store, model="student")
    (folder / "eval.json").write_text('{"seed": 1}')
    (folder / "README.md").write_text(
        "---\nlicense: mit\n---\n\n# ner/student:1\n\nFor tests.\n\n"
        "## Data, licences, limits\n\nWritten by hand.\n\n## Reproduce\n\nNo."
    )
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"] |= {"eval.json": "", "README.md": ""}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    reseal(folder)
    return folder


@pytest.fixture
def command(student: Path, tmp_path: Path) -> list[str]:
    """Teacher and student are the same graph, so nobody has to be asked."""
    records = [
        {"tokens": s.words, "ner_tags": s.tags, "space_after": s.space_after} for s in sentences()
    ]
    (tmp_path / "data" / "ronec").mkdir(parents=True)
    (tmp_path / "data" / "ronec" / "valid.json").write_text(json.dumps(records))
    teacher = student.parents[1] / "tiny" / "1"
    return [
        "calibrate",
        str(student),
        *("--teacher", str(teacher), "--data", "ronec valid", "--target", "0.9"),
        *("--data-dir", str(tmp_path / "data")),
    ]


def test_calibrating_a_package_writes_its_next_version_and_leaves_the_old(
    student: Path, command: list[str]
) -> None:
    before = {path.name: path.read_bytes() for path in student.iterdir()}

    assert main(command) == 0

    revised = student.parent / "2"
    assert {path.name: path.read_bytes() for path in student.iterdir()} == before
    manifest = Package.load(revised).manifest
    assert manifest.calibration
    assert manifest.calibration.teacher == "ner/tiny:1"
    assert manifest.calibration.escalation.value == 0
    for name in ("model.onnx", "tokenizer.json", "golden.json"):
        assert (revised / name).read_bytes() == before[name]


def test_card_and_record_of_the_next_version_tell_of_the_cascade(
    student: Path, command: list[str]
) -> None:
    assert main(command) == 0

    card = (student.parent / "2" / "README.md").read_text(encoding="utf-8")
    record = json.loads((student.parent / "2" / "eval.json").read_text(encoding="utf-8"))
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == [
        "# ner/student:2",
        "## As a cascade with ner/tiny:1",
        "## Data, licences, limits",
        "## Reproduce",
    ]
    assert record["seed"] == 1
    assert record["calibration"]["target"] == 0.9


def test_the_same_calibration_again_adds_no_version_and_another_one_does(
    student: Path, command: list[str]
) -> None:
    assert main(command) == 0
    assert main(command) == 0
    assert sorted(path.name for path in student.parent.iterdir()) == ["1", "2"]

    command[1] = str(student.parent / "2")
    command[command.index("0.9")] = "0.8"
    assert main(command) == 0

    card = (student.parent / "3" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: mit\n---\n\n# ner/student:3\n")
    assert card.count("## As a cascade") == 1
    calibration = read_manifest(student.parent / "3").calibration
    assert calibration
    assert calibration.target == 0.8


def test_a_package_without_a_record_is_not_half_registered(
    student: Path, command: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    command[1] = str(student.parents[1] / "tiny" / "1")

    assert main(command) == 1

    assert "tiny:2 was not registered" in caplog.text
    assert [path.name for path in (student.parents[1] / "tiny").iterdir()] == ["1"]
    assert [p for p in student.parents[2].rglob("*") if p.name.startswith(".")] == []


def test_a_corpus_of_another_task_is_refused(
    command: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    command[command.index("ronec valid")] = "sart dev"

    assert main(command) == 1

    assert "sart: its labels are for sentiment, not ner" in caplog.text


@pytest.mark.parametrize(
    ("given", "wrong", "message"),
    [
        ("ronec valid", "ronec", "is no CORPUS SPLIT"),
        ("ronec valid", "nothing valid", "unknown corpus 'nothing'"),
        ("0.9", "1.5", r"a share in \(0, 1\] is needed"),
    ],
)
def test_wrong_words_on_the_command_line_are_explained(
    command: list[str], given: str, wrong: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command[command.index(given)] = wrong

    with pytest.raises(SystemExit):
        main(command)

    assert re.search(message, capsys.readouterr().err)
