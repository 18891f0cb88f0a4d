"""Hugging Face's client works unchanged against the live service."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.app.listening import listening
from tests.tiny_package import MAX_TOKENS

Client = Callable[[str], InferenceClient]


@pytest.fixture(scope="module")
def client(tasks_store: Path) -> Iterator[Client]:
    """Makes a client of a task; with a token of its own, lest it sends one that is saved here."""
    with listening(tasks_store) as address:
        yield lambda task: InferenceClient(model=f"http://{address}/v1/{task}", token="none")


def test_token_classification_gives_entities(client: Client) -> None:
    text = "😀 Maria Ionescu merge la Timis\u0327oara."

    found = client("ner").token_classification(text)

    assert [(e.entity_group, e.word) for e in found] == [
        ("PERSON", "Maria Ionescu"),
        ("GPE", "Timis\u0327oara"),
    ]
    assert [text[e.start : e.end] for e in found] == [e.word for e in found]


def test_token_classification_takes_its_parameters(client: Client) -> None:
    words = client("ner").token_classification(
        "Maria Ionescu la Iași",
        aggregation_strategy="none",
        ignore_labels=["O", "B-GPE"],
        stride=2,
    )

    assert [(word.entity, word.word) for word in words] == [
        ("B-PERSON", "Maria"),
        ("I-PERSON", "Ionescu"),
    ]


def test_token_classification_gives_parts_of_speech(client: Client) -> None:
    words = client("tagging").token_classification("Ion merge.")

    assert [(w.entity_group, w.word, w["xpos"]) for w in words] == [
        ("PROPN", "Ion", "Np"),
        ("VERB", "merge", "Vmip3s"),
        ("PUNCT", ".", "PERIOD"),
    ]


@pytest.mark.parametrize(
    ("task", "text", "labels"),
    [
        ("sentiment", "bun", ["positive", "negative"]),
        ("dialect", "oleacă", ["MD", "RO"]),
    ],
)
def test_text_classification_gives_labels(
    client: Client, task: str, text: str, labels: list[str]
) -> None:
    every = client(task).text_classification(text)
    best = client(task).text_classification(text, top_k=1, function_to_apply="none")

    assert [element.label for element in every] == labels
    assert sum(element.score for element in every) == pytest.approx(1, abs=1e-5)
    assert [(element.label, element.score) for element in best] == [(labels[0], 1.0)]


def test_sentence_similarity_gives_scores(client: Client) -> None:
    scores = client("sts").sentence_similarity("Ion merge", other_sentences=["Ion", "bun"])

    assert scores == [0.2, 0.0]


def test_question_answering_gives_answers(client: Client) -> None:
    ask = client("qa").question_answering

    one = ask(question="Cine merge?", context="Maria Ionescu merge la Iași.")
    two = ask(question="Unde?", context="la București și la Iași", top_k=2)

    assert (one.answer, one.start, one.end) == ("Maria Ionescu", 0, 13)
    assert {answer.answer for answer in two} >= {"București"}


def test_error_is_shown_with_what_to_do(client: Client) -> None:
    with pytest.raises(HfHubHTTPError, match=f"at most {MAX_TOKENS // 2 - 1} for this") as error:
        client("ner").token_classification("Ion", stride=100)

    assert error.value.response.status_code == 422
