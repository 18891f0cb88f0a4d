from pathlib import Path

import numpy as np
import pytest
import torch

from app.contract.heads import ClassHead, ScoreHead, SpanHead, TagHead, VectorHead
from tests.training.toy_models import toy_model, toy_tokenizer
from training.datasets.examples import (
    LabelledText,
    PartlyTagged,
    ScoredPair,
    TaggedSentence,
)
from training.distill import Teacher, distill, ensemble
from training.errors import StepError
from training.recipe import LossWeights, Stage
from training.units import NO_TARGET, UnitSet, align

SPANS = SpanHead(labels=("O", "B-X", "I-X"))
CASED = toy_tokenizer(["Ana", "Ma", "##ria", "la", "Cl", "##uj", "-", "N"])
APART = toy_tokenizer(["Ana", "la"], reads_apart=True)
UNCASED = toy_tokenizer(["ana", "maria", "la", "c", "##luj", "-", "n"], lowercase=True)


def sentence(*words: str, tags: tuple[str, ...] | None = None) -> TaggedSentence:
    return TaggedSentence(words, tags, (True,) * len(words))


def test_a_unit_is_a_pre_token_and_later_ones_of_a_word_carry_on_its_entity() -> None:
    """Cl ##uj - N is one word of the corpus and three units, read at Cl, - and N."""
    units = UnitSet([sentence("la", "Cluj-N", tags=("O", "B-X"))], CASED, SPANS)

    batch = units.batch([0])

    assert batch.targets["logits"].tolist() == [0, 1, 2, 2]
    assert batch.columns.tolist() == [1, 2, 4, 5]


def test_words_without_tags_have_no_target() -> None:
    batch = UnitSet([sentence("la", "Ana")], CASED, SPANS).batch([0])

    assert batch.targets["logits"].tolist() == [NO_TARGET] * 2


def test_tags_of_two_layers_are_targets_of_two_outputs() -> None:
    head = TagHead(labels=("ADP", "PROPN"), xpos=("Np", "Sp"))
    example = TaggedSentence(("la", "Ana"), ("ADP", "PROPN"), (True, False), ("Sp", "Np"))

    targets = UnitSet([example], CASED, head).batch([0]).targets

    assert targets["logits"].tolist() == [0, 1]
    assert targets["xpos_logits"].tolist() == [1, 0]


def test_texts_and_pairs_have_one_target_each() -> None:
    classes = UnitSet(
        [LabelledText("la", "neg"), LabelledText("Ana", "")],
        CASED,
        ClassHead(labels=("neg", "pos")),
    )
    scores = UnitSet([ScoredPair("la", "Ana", 4.5)], CASED, ScoreHead())

    assert classes.batch([1, 0]).targets["logits"].tolist() == [NO_TARGET, 0]
    assert scores.batch([0]).targets["logits"].tolist() == [4.5]
    assert scores.batch([0]).inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]


def test_stars_are_targets_of_an_output_of_their_own_where_there_are_any() -> None:
    """The second text has a class and no stars, the third neither: a teacher labels it."""
    head = ClassHead(labels=("neg", "pos"), rating=("1", "5"))
    texts = [LabelledText("la", "pos", "5"), LabelledText("la", "neg"), LabelledText("la", "")]

    targets = UnitSet(texts, CASED, head).batch([0, 1, 2]).targets

    assert targets["logits"].tolist() == [1, 0, NO_TARGET]
    assert targets["rating_logits"].tolist() == [1, NO_TARGET, NO_TARGET]


def test_every_word_of_a_long_sentence_is_decided_once_where_it_has_most_context() -> None:
    tokenizer = toy_tokenizer(["la", "Ana"], max_tokens=8, stride=2)
    units = UnitSet([sentence(*["la", "Ana"] * 6)], tokenizer, SPANS)

    batch = units.batch([0])

    assert len(batch.rows) == 12
    assert set(batch.rows.tolist()) == {0, 1, 2}


def test_decisions_are_the_outputs_at_the_units() -> None:
    units = UnitSet([sentence("Maria"), sentence("la", "Ana")], CASED, SPANS)
    batch = units.batch([1, 0])
    model = toy_model(SPANS)

    outputs = model(**batch.inputs)
    decisions = batch.decisions(outputs, SPANS)["logits"]

    expected = [outputs["logits"][0, 1], outputs["logits"][0, 2], outputs["logits"][1, 1]]
    torch.testing.assert_close(decisions, torch.stack(expected))


def test_two_vocabularies_align_at_the_words_that_both_start() -> None:
    """Ma ##ria la Cl ##uj - N and maria la c ##luj - n: five words each, cased and not."""
    example = sentence("Maria", "la", "Cluj-N")
    student, teacher = (UnitSet([example], each, SPANS) for each in (CASED, UNCASED))

    assert align(student, teacher)[0].tolist() == [0, 1, 2, 3, 4]
    assert student.batch([0]).columns.tolist() == [1, 3, 4, 6, 7]
    assert teacher.batch([0]).columns.tolist() == [1, 2, 3, 5, 6]


def test_an_ensemble_averages_what_its_teachers_say_about_the_same_word() -> None:
    """Worked example: both teachers on `la`, the second alone silent on `Ana`.

    (1/2, 1/2) and (1/4, 3/4) give (3/8, 5/8); where one is silent the other counts alone.
    """
    first = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    second = torch.stack([torch.log(torch.tensor([0.25, 0.75])), torch.full((2,), torch.nan)])

    mean = ensemble([first, second], temperature=1.0)

    torch.testing.assert_close(mean, torch.tensor([[0.375, 0.625], [0.9, 0.1]]))


def test_an_ensemble_averages_values_as_they_are() -> None:
    mean = ensemble([torch.tensor([[4.0]]), torch.tensor([[1.0]])], temperature=2.0)

    assert mean.tolist() == [[2.5]]


def test_a_teacher_with_another_vocabulary_speaks_at_the_students_words() -> None:
    examples = [sentence("Maria", "la", "Cluj-N"), sentence("Ana")]
    student, own = (UnitSet(examples, each, SPANS) for each in (CASED, UNCASED))
    model = toy_model(SPANS)
    teacher = Teacher.of("uncased", model, own, student)

    taught, hidden = teacher.teach([1, 0], student.batch([1, 0]))

    batch = own.batch([1, 0])
    expected = batch.decisions(model(**batch.inputs), SPANS)["logits"]
    torch.testing.assert_close(taught["logits"], expected)
    assert hidden is None


def test_a_teacher_of_the_same_vocabulary_shows_its_hidden_states() -> None:
    units = UnitSet([sentence("Ana")], CASED, SPANS)

    _, hidden = Teacher.of("own", toy_model(SPANS), units, units).teach([0], units.batch([0]))

    assert hidden is not None
    assert hidden.shape == (3, 16)


def test_a_tokenizer_of_the_same_vocabulary_counts_as_the_students_own() -> None:
    student, same = (UnitSet([sentence("Maria")], CASED, SPANS) for _ in range(2))
    other = UnitSet([sentence("Maria")], UNCASED, SPANS)

    assert Teacher.of("own", toy_model(SPANS), same, student).units is student
    assert Teacher.of("other", toy_model(SPANS), other, student).units is other


def test_hidden_states_that_no_teacher_can_show_are_refused(tmp_path: Path) -> None:
    student, own = (UnitSet([sentence("Maria")], each, SPANS) for each in (CASED, UNCASED))
    teacher = Teacher.of("uncased", toy_model(SPANS), own, student)
    stage = {
        "data": [{"corpus": "ronec", "split": "v1"}],
        "epochs": 1,
        "batch_size": 1,
        "learning_rate": 1e-3,
    }

    with pytest.raises(StepError, match=r"vocabulary and width \(16\).* set weights\.hidden to 0"):
        distill(
            toy_model(SPANS),
            [teacher],
            student,
            Stage.model_validate(stage),
            weights=LossWeights(soft=1.0, hard=0.0, hidden=1.0),
            temperature=2.0,
            seed=1,
            checkpoint=tmp_path / "checkpoint.pt",
            title="test",
        )


def test_vocabularies_that_cut_texts_differently_are_refused() -> None:
    student = UnitSet([sentence("-" * 8, "la")], CASED, SPANS)
    other = UnitSet([sentence("la")], CASED, SPANS)
    other.encoded = [other.encoded[0]]

    with pytest.raises(StepError, match="start at the same place"):
        Teacher.of("other", toy_model(SPANS), other, student)


def test_words_that_a_teacher_does_not_start_are_silent() -> None:
    student, other = (
        UnitSet([sentence("la", "Ana")], CASED, SPANS),
        UnitSet([sentence("la")], CASED, SPANS),
    )

    aligned = align(student, other)[0]

    assert np.array_equal(aligned, [0, -1])


PAIRS = [ScoredPair("la", "Ana", 4.5), ScoredPair("Ana la", "Ana la", 5.0)]


def test_the_decision_about_a_pair_read_apart_is_the_cosine_in_the_range_of_gold() -> None:
    """Cosine 1 is 5, cosine 0 would be 0."""
    head = VectorHead(width=16)
    batch = UnitSet(PAIRS, APART, head).batch([1, 0])
    vectors = toy_model(head)(**batch.inputs)

    values = batch.decisions(vectors, head)["logits"]

    cosine = torch.dot(vectors["vector"][2], vectors["vector"][3]).item()
    assert batch.targets["logits"].tolist() == [5.0, 4.5]
    assert values.flatten().tolist() == pytest.approx([5.0, 5.0 * cosine], abs=1e-5)
    assert values.shape == (2, 1)


def test_a_teacher_that_reads_pairs_teaches_a_student_that_reads_them_apart(
    tmp_path: Path,
) -> None:
    """From what the teacher says, and from gold."""
    own, units = UnitSet(PAIRS, CASED, ScoreHead()), UnitSet(PAIRS, APART, VectorHead(width=16))
    teacher = Teacher.of("teacher", toy_model(ScoreHead(), seed=1), own, units)
    stage = {
        "data": [{"corpus": "ro-sts", "split": "train"}],
        "epochs": 12,
        "batch_size": 2,
        "learning_rate": 1e-2,
    }

    history = distill(
        toy_model(VectorHead(width=16)),
        [teacher],
        units,
        Stage.model_validate(stage),
        weights=LossWeights(soft=1.0, hard=0.5, hidden=0.0),
        temperature=1.0,
        seed=1,
        checkpoint=tmp_path / "checkpoint.pt",
        title="test",
    )

    totals = [entry["soft logits"] + entry["hard logits"] for entry in history]
    assert totals[-1] < totals[0]


def test_a_corpus_says_nothing_about_types_its_annotators_did_not_look_for() -> None:
    """Labels O, B-X, I-X, B-Y, I-Y. Only X was looked for in the first sentence, so its O may be a
    Y; the second is of all types, the third is not labelled."""
    head = SpanHead(labels=("O", "B-X", "I-X", "B-Y", "I-Y"))
    first = PartlyTagged(("la", "Ana"), ("O", "B-X"), (True, True), types=("X",))
    second = sentence("la", "Ana", tags=("O", "B-X"))

    units = UnitSet([first, second, sentence("la")], CASED, head)

    assert units.batch([0, 1, 2]).targets["logits"].int().tolist() == [
        [1, 0, 0, 1, 1],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 1, 1, 1, 1],
    ]
