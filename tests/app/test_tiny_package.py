"""The tiny package of each task loads as a real one does, and its answers can be foretold."""

from pathlib import Path

import numpy as np
import pytest

from app.contract.decoding import Answer
from app.contract.encoded_text import Input, Pair
from app.contract.golden import replay
from app.contract.heads import TagHead
from app.contract.manifest import TASKS
from app.contract.pipeline import Package, check_outputs, predict
from app.sessions import OnnxSession
from tests.tiny_graphs import CRASH, EVIDENCE, HEADS, INFINITE
from tests.tiny_package import build


def answer_of(package: Package, *inputs: Input) -> list[Answer]:
    return predict(package, OnnxSession(package.model_path, provider="cpu"), inputs)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", ["tiny", "tiny-teacher"])
def test_package_replays_under_the_engine(tasks_store: Path, task: str, model: str) -> None:
    package = Package.load(tasks_store / task / model / "1")
    session = OnnxSession(package.model_path, provider="cpu")

    check_outputs(package.manifest, session.widths)
    replay(package, session)


@pytest.mark.parametrize("task", TASKS)
def test_poison_words_poison_every_task(tasks_store: Path, task: str) -> None:
    package = Package.load(tasks_store / task / "tiny/1")
    session = OnnxSession(package.model_path, provider="cpu")

    def run(word: str) -> dict[str, np.ndarray]:
        given = Pair(word, word) if task in ("sts", "qa") else word
        windows = package.encoder.encode([given], long=package.head.long)[0].windows
        return dict(package.run_windows(windows, session)[0])

    assert not all(np.isfinite(output).all() for output in run(INFINITE).values())
    with pytest.raises(Exception, match="indices element out of data bounds"):
        run(CRASH)


def test_words_are_tagged_by_two_tables(tasks_store: Path, tmp_path: Path) -> None:
    head = HEADS["tagging"]
    assert isinstance(head, TagHead)
    plain = build(tmp_path, task="tagging", head=TagHead(labels=head.labels))

    both = answer_of(Package.load(tasks_store / "tagging/tiny/1"), "Ion merge bun")[0]
    upos_only = answer_of(Package.load(plain), "Ion merge bun")[0]

    assert [word.label for word in both] == ["PROPN", "VERB", "X"]
    assert [word.xpos for word in both] == ["Np", "Vmip3s", "Np"]
    assert [word.label for word in upos_only] == ["PROPN", "VERB", "X"]
    assert [word.xpos for word in upos_only] == [None] * 3


@pytest.mark.parametrize(
    ("task", "text", "label"),
    [("sentiment", "bun", "positive"), ("dialect", "oleacă", "MD")],
)
def test_each_word_is_evidence_for_its_class(
    tasks_store: Path, task: str, text: str, label: str
) -> None:
    once, twice = answer_of(Package.load(tasks_store / task / "tiny/1"), text, f"{text} {text}")

    assert [(best[0].label, best[0].score) for best in (once, twice)] == [
        (label, pytest.approx(1 / (1 + np.exp(-EVIDENCE)))),
        (label, pytest.approx(1 / (1 + np.exp(-2 * EVIDENCE)))),
    ]


def test_pairs_score_a_fifth_for_each_shared_word(tasks_store: Path) -> None:
    package = Package.load(tasks_store / "sts/tiny/1")
    pairs = [Pair("Ion merge", "Maria merge"), Pair("Ion", "bun"), Pair("și " * 3, "și și")]

    assert answer_of(package, *pairs) == pytest.approx([0.2, 0.0, 1.0])


def test_intents_and_slots_are_looked_up(tasks_store: Path) -> None:
    package = Package.load(tasks_store / "parse/tiny/1")

    answers = answer_of(package, "plouă la Iași mâine dimineață")

    assert answers[0].tree == (
        "[IN:GET_WEATHER [SL:LOCATION Iași ] [SL:DATE_TIME mâine dimineață ] ]"
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [("Cine merge?", "Maria Ionescu"), ("Unde merge?", "Iași"), ("merge?", None)],
)
def test_question_words_ask_for_what_the_context_names(
    tasks_store: Path, question: str, answer: str | None
) -> None:
    package = Package.load(tasks_store / "qa/tiny/1")
    context = "la Iași, și Maria Ionescu merge"

    best = answer_of(package, Pair(question, context))[0][0]

    assert (best.score > 0.9) == (answer is not None)
    assert answer in (context[best.start : best.end], None)
