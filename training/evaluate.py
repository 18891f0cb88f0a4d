"""Scores of any engine on a labelled split, through the pipeline that serves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.answers import FoundAnswer
from app.contract.decoding import (
    Entity,
    Parse,
    decode_tags,
    entities,
    parse,
    similarity,
    word_logits,
)
from app.contract.encoded_text import EncodedText, Input, Pair, WindowOutputs
from app.contract.encoding import Encoder
from app.contract.heads import (
    AnswerHead,
    ClassHead,
    Head,
    NumberHead,
    ParseHead,
    ScoreHead,
    SpanHead,
    TagHead,
    VectorHead,
)
from app.contract.manifest import Score
from app.contract.pipeline import Package, Runner, predict_outputs
from app.contract.probabilities import softmax
from training.answer_scores import (
    answer_loyalty,
    answer_quality,
    best_answers,
    place_loyalty,
    window_distributions,
)
from training.datasets.examples import (
    Example,
    LabelledText,
    Question,
    ScoredPair,
    TaggedSentence,
    Utterance,
)
from training.gold_spans import gold_spans, looked_for
from training.loyalty import label_loyalty, probability_loyalty, regression_loyalty
from training.metrics import Span, accuracy, macro_f1, mean_score, pearson, spearman, strict_f1
from training.parse_scores import parse_scores, slot_scores
from training.runners import package_runner
from training.scores import groups_of

Record = dict[str, Any]
"""Content of eval.json, or a part of it."""
Watch = Callable[[], dict[str, float]]
"""Scores of a model while it learns."""
WATCHED = 200
"""Examples that these are measured on, at most."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Something that can be measured: an encoder, a runner and the head of its outputs."""

    encoder: Encoder
    run: Runner
    head: Head


def engine_of(package: Package) -> Engine:
    """A registered model, on the CPU."""
    return Engine(package.encoder, package_runner(package), package.head)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What an engine says about a split.

    Attributes:
        head: of the engine.
        decisions: output -> probabilities of each word or text, shape (items, labels), all examples
            in order; or values in [0, 1], shape (items,); of answers, places in each window.
        owner: example of each item, shape (items,).
        spans: per example, over the corpus's words: (type, first word, end word); spans only.
        raw_spans: per example, over the running text: (type, start, end) in code points.
        parses: per example, of the running text; parses only.
        answers: per example; answers only.
        questions: what they answer.
    """

    head: Head
    decisions: dict[str, NDArray[np.floating]]
    owner: NDArray[np.int64]
    spans: list[set[Span]]
    raw_spans: list[set[Span]]
    parses: list[Parse] = field(default_factory=list)
    answers: list[FoundAnswer] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def labels(self, output: str, names: Sequence[str]) -> list[str]:
        """The likeliest label of each item."""
        return [names[i] for i in self.decisions[output].argmax(axis=-1)]


def served_input(example: Example) -> Input:
    """An example as a request would put it, words as words."""
    match example:
        case TaggedSentence():
            return example.words
        case Utterance():
            return example.sentence.words
        case ScoredPair():
            return Pair(example.first, example.second)
        case Question():
            return Pair(example.question, example.context)
        case _:
            return example.text


def predict_split(engine: Engine, examples: Sequence[Example]) -> Predictions:
    """Run a split; sentences with spans, and utterances, a second time, as running text."""
    head = engine.head
    inputs = [served_input(example) for example in examples]
    predicted = predict_outputs(engine.encoder, head, engine.run, inputs)
    if isinstance(head, NumberHead):
        values = np.asarray([similarity(head, outputs) for _, outputs in predicted])
        return Predictions(head, {"logits": values}, np.arange(len(values)), [], [])
    if isinstance(head, AnswerHead):
        questions = [e for e in examples if isinstance(e, Question)]
        starts, owner = window_distributions(predicted, "start_logits")
        ends, _ = window_distributions(predicted, "end_logits")
        places = {"start": starts, "end": ends}
        answers = best_answers(head, predicted, questions)
        return Predictions(head, places, owner, [], [], answers=answers, questions=questions)
    decisions, owner = {}, np.arange(len(examples))
    for output in head.outputs:
        found = [
            _word_probabilities(encoded, outputs, head, output.name)
            if output.per_token
            else softmax(outputs[0][output.name][None])
            for encoded, outputs in predicted
        ]
        decisions[output.name] = np.concatenate(found)
        owner = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
    if isinstance(head, ParseHead):
        raw = predict_outputs(engine.encoder, head, engine.run, [e.text for e in examples])
        parses = [parse(head, *each) for each in raw]
        return Predictions(head, decisions, owner, [], [], parses)
    if not isinstance(head, SpanHead):
        return Predictions(head, decisions, owner, [], [])
    raw = predict_outputs(engine.encoder, head, engine.run, [e.text for e in examples])
    return Predictions(
        head,
        decisions,
        owner,
        [_word_spans(head, *each) for each in predicted],
        [{(e.label, e.start, e.end) for e in _entities(head, *each)} for each in raw],
    )


def quality(found: Predictions, examples: Sequence[Example]) -> dict[str, Score]:
    """The scores of a task, each with its interval."""
    head = found.head
    match head:
        case SpanHead():
            sentences = [e for e in examples if isinstance(e, TaggedSentence)]
            gold = [gold_spans(sentence) for sentence in sentences]
            placed = [
                {(label, s.word_spans[a][0], s.word_spans[b - 1][1]) for label, a, b in spans}
                for s, spans in zip(sentences, gold, strict=True)
            ]
            return {
                "strict_f1": strict_f1(looked_for(found.spans, sentences), gold),
                "strict_f1_running_text": strict_f1(looked_for(found.raw_spans, sentences), placed),
            }
        case TagHead():
            sentences = [e for e in examples if isinstance(e, TaggedSentence)]
            upos = [tag for s in sentences for tag in s.tags or ()]
            scores = {
                "upos_accuracy": accuracy(found.labels("logits", head.labels), upos, found.owner)
            }
            if head.xpos:
                xpos = [tag for s in sentences for tag in s.xpos or ()]
                predicted = found.labels("xpos_logits", head.xpos)
                scores["xpos_accuracy"] = accuracy(predicted, xpos, found.owner)
            return scores
        case ScoreHead() | VectorHead():
            scored = np.asarray([e.score for e in examples if isinstance(e, ScoredPair)])
            values = found.decisions["logits"]
            return {"pearson": pearson(values, scored), "spearman": spearman(values, scored)}
        case ClassHead():
            texts = [e for e in examples if isinstance(e, LabelledText)]
            truth = [text.label for text in texts]
            predicted = found.labels("logits", head.labels)
            scores = {
                "accuracy": accuracy(predicted, truth),
                "macro_f1": macro_f1(predicted, truth),
            }
            rated = [(i, text.rating) for i, text in enumerate(texts) if text.rating]
            if head.rating and rated:
                said = found.labels("rating_logits", head.rating)
                given = [said[i] for i, _ in rated]
                stars = [rating for _, rating in rated]
                scores["rating_accuracy"] = accuracy(given, stars)
                scores["rating_macro_f1"] = macro_f1(given, stars)
            return scores
        case ParseHead():
            return parse_scores(found.parses, [e for e in examples if isinstance(e, Utterance)])
        case AnswerHead():
            return answer_quality(found.answers, found.questions, groups_of(found.questions))


def watch(engine: Engine, dev: Sequence[Example]) -> Watch:
    """Measures an engine, whenever it is called, on a sample of the development split."""
    sample = dev[:: -(-len(dev) // WATCHED)]

    def measure() -> dict[str, float]:
        scores = quality(predict_split(engine, sample), sample)
        return {f"dev_{name}": score.value for name, score in scores.items()}

    return measure


def further_quality(engine: Engine, splits: dict[str, list[Example]]) -> dict[str, object]:
    """Scores on splits that are measured besides, by their names; nothing if there are none."""
    found = {name: quality(predict_split(engine, read), read) for name, read in splits.items()}
    return {"further": {name: plain(scores) for name, scores in found.items()}} if found else {}


def plain(scores: dict[str, Score]) -> dict[str, dict[str, float]]:
    """Scores as JSON takes them."""
    return {name: score.model_dump() for name, score in scores.items()}


def per_label(found: Predictions, examples: Sequence[Example]) -> dict[str, Score]:
    """Scores of each label: strict F1 of a type of entity, recall of a tag or class."""
    match found.head:
        case SpanHead():
            gold = [gold_spans(e) for e in examples if isinstance(e, TaggedSentence)]

            def only(name: str, spans: list[set[Span]]) -> list[set[Span]]:
                return [{span for span in each if span[0] == name} for each in spans]

            types = sorted({label for spans in gold for label, _, _ in spans})
            return {name: strict_f1(only(name, found.spans), only(name, gold)) for name in types}
        case TagHead() | ClassHead() as head:
            truth = [label for example in examples for label in _gold_labels(example)]
            predicted = found.labels("logits", head.labels)
            said = {
                name: [p for p, t in zip(predicted, truth, strict=True) if t == name]
                for name in set(truth)
            }
            return {name: accuracy(said[name], [name] * len(said[name])) for name in sorted(said)}
        case ParseHead():
            utterances = [e for e in examples if isinstance(e, Utterance)]
            return slot_scores(found.parses, utterances)
        case _:
            return {}


def loyalty(teacher: Predictions, student: Predictions) -> dict[str, Score]:
    """Agreement of a student with its teacher on the same items."""
    if isinstance(student.head, NumberHead):
        return regression_loyalty(teacher.decisions["logits"], student.decisions["logits"])
    if isinstance(student.head, ParseHead):
        texts = np.arange(len(student.parses))
        scores: dict[str, Score] = {}
        for name, groups in (("intent", texts), ("slot", student.owner)):
            both = teacher.decisions[f"{name}_logits"], student.decisions[f"{name}_logits"], groups
            scores[f"{name}_label_loyalty"] = label_loyalty(*both)
            scores[f"{name}_probability_loyalty"] = probability_loyalty(*both)
        same = [a.tree == b.tree for a, b in zip(teacher.parses, student.parses, strict=True)]
        return {"label_loyalty": mean_score(np.array(same, np.float64), texts)} | scores
    if isinstance(student.head, AnswerHead):
        groups = groups_of(student.questions)
        scores = answer_loyalty(teacher.answers, student.answers, student.questions, groups)
        for name in student.decisions:
            found = place_loyalty(teacher.decisions[name], student.decisions[name], student.owner)
            scores |= {f"{name}_{measure}": score for measure, score in found.items()}
        return scores
    pair = teacher.decisions["logits"], student.decisions["logits"], teacher.owner
    scores = {
        "label_loyalty": label_loyalty(*pair),
        "probability_loyalty": probability_loyalty(*pair),
        "probability_loyalty_base2": probability_loyalty(*pair, base=2),
    }
    for name in student.decisions.keys() - {"logits"}:
        fine = teacher.decisions[name], student.decisions[name], teacher.owner
        scores[f"{name.removesuffix('_logits')}_label_loyalty"] = label_loyalty(*fine)
    if isinstance(student.head, SpanHead):
        scores["span_loyalty"] = strict_f1(student.spans, teacher.spans)
    return scores


def scores_of(
    found: Mapping[str, Predictions],
    engine: str,
    teachers: Sequence[str],
    examples: Sequence[Example],
) -> dict[str, object]:
    """What eval.json keeps of one engine's predictions.

    Args:
        found: by engine, of the same examples.
        engine: whose scores.
        teachers: engines that it is held against; the first one's is its loyalty.
        examples: with gold labels.
    """
    own = found[engine]
    agreement = {each: plain(loyalty(found[each], own)) for each in teachers}
    return {
        "quality": plain(quality(own, examples)),
        "per_label": plain(per_label(own, examples)),
        "loyalty": agreement[teachers[0]] if teachers else {},
        "loyalty_to": agreement,
    }


def _gold_labels(example: Example) -> Sequence[str]:
    match example:
        case TaggedSentence():
            return example.tags or ()
        case LabelledText():
            return (example.label,)
        case _:
            return ()


def _word_probabilities(
    encoded: EncodedText, outputs: Sequence[WindowOutputs], head: Head, name: str
) -> NDArray[np.float32]:
    """Of each word, shape (words, labels); one that cannot be read is outside, or the first."""
    indices, rows = word_logits(encoded, outputs, name)
    full = np.zeros((len(encoded.words), rows.shape[-1]), np.float32)
    full[:, _outside(head)] = 1.0
    full[indices] = softmax(rows)
    return full


def _outside(head: Head) -> int:
    """Index of the label of words that nobody could read."""
    match head:
        case SpanHead():
            return head.labels.index("O")
        case ParseHead():
            return head.slots.index("O")
        case _:
            return 0


def _entities(
    head: SpanHead, encoded: EncodedText, outputs: Sequence[WindowOutputs]
) -> list[Entity]:
    tags = decode_tags(encoded, outputs, head.labels, decoding=head.decoding)
    return entities(encoded, tags)


def _word_spans(
    head: SpanHead, encoded: EncodedText, outputs: Sequence[WindowOutputs]
) -> set[Span]:
    first = {word.start: i for i, word in enumerate(encoded.words)}
    last = {word.end: i for i, word in enumerate(encoded.words)}
    found = _entities(head, encoded, outputs)
    return {(e.label, first[e.start], last[e.end] + 1) for e in found}
