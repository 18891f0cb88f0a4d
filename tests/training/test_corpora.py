"""Readers of texts, pairs and tagged words: what they return, and how they refuse."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.training.corpus_samples import CONLLU, LEAFLET, review, write, write_all
from training.datasets import CORPORA, read_split
from training.datasets.examples import (
    LabelledPair,
    LabelledText,
    ParallelSentence,
    PartlyTagged,
    ScoredPair,
)
from training.errors import DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("corpora"))


def test_rrt_has_both_tag_sets_and_the_running_text(data: Path) -> None:
    [sentence] = read_split(data, "ro-rrt", "dev")

    assert sentence.text == "Ana vine."
    assert sentence.tags == ("PROPN", "VERB", "PUNCT")
    assert sentence.xpos == ("Np", "Vmip3s", "PERIOD")


def test_rrt_prefers_the_published_train_file_to_the_computed_one(tmp_path: Path) -> None:
    text = CONLLU.replace("vine", "pleacă")
    write(tmp_path / "ro-rrt/ro_rrt-ud-train.conllu", text)
    write(tmp_path / "ro-rrt/ro_rrt-ud-train.upos-from-msd.conllu", CONLLU)
    write(tmp_path / "ro-rrt/ro_rrt-ud-dev.conllu", CONLLU)

    [sentence] = read_split(tmp_path, "ro-rrt", "train")

    assert sentence.words[1] == "pleacă"


def test_training_examples_that_nearly_repeat_dev_are_left_out(tmp_path: Path) -> None:
    def tree(text: str) -> str:
        words = text.split()
        rows = (f"{i}\t{w}\t_\tNOUN\tNc\t_\t_\t_\t_\t_\n" for i, w in enumerate(words, start=1))
        return "".join(rows) + "\n"

    write(tmp_path / "ro-rrt/ro_rrt-ud-dev.conllu", tree(f"{LEAFLET} de a lua acest medicament ."))
    near, far = tree(f"{LEAFLET.upper()} de folosire ."), tree("Ana merge la Iași .")
    write(tmp_path / "ro-rrt/ro_rrt-ud-train.conllu", near + far)

    assert [s.text for s in read_split(tmp_path, "ro-rrt", "train")] == ["Ana merge la Iași ."]


def test_laroseda_offers_two_classes_and_the_stars_of_the_same_review(data: Path) -> None:
    reviews = read_split(data, "laroseda", "train", LabelledText)

    assert {(r.label, r.rating) for r in reviews} == {
        ("negative", "1"),
        ("negative", "2"),
        ("positive", "4"),
        ("positive", "5"),
    }
    assert all(r.text.startswith("Bun\nprodusul cu numărul") for r in reviews)


def test_reviews_with_the_same_content_never_part(tmp_path: Path) -> None:
    titles = ["Bun", "foarte bun", "OK!"]
    reviews = [review(i, "5", title) for i in range(100) for title in titles]
    write(tmp_path / "laroseda/laroseda_train.json", json.dumps({"reviews": reviews}))

    sides = [
        {r.text.partition("\n")[2] for r in read_split(tmp_path, "laroseda", split, LabelledText)}
        for split in ("train", "dev")
    ]

    assert len(sides[0]) + len(sides[1]) == 100
    assert not sides[0] & sides[1]


def test_a_corpus_sorted_by_label_gives_mixed_slices(data: Path) -> None:
    labels = Counter(r.label for r in read_split(data, "ro-sent", "train[:30%]", LabelledText))

    assert min(labels.values()) > 10


def test_reviews_of_laroseda_dev_are_no_training_data_of_rosent(tmp_path: Path) -> None:
    write_all(tmp_path)
    dev = read_split(tmp_path, "laroseda", "dev", LabelledText)
    copied = dev[0].text.replace("\n", " ")
    rows = [f"filmul cu numărul {i}" for i in range(60)] + [f"{copied} {i}" for i in range(20)]
    table = "".join(f"pos\tfile.txt\t{row}\n" for row in rows)
    (tmp_path / "ro-sent/ro_sent_train.tsv.gz").unlink()
    write(tmp_path / "ro-sent/ro_sent_train.tsv", f"label\tfile\ttext\n{table}")

    train = read_split(tmp_path, "ro-sent", "train", LabelledText)

    assert train
    assert not any(copied in review.text for review in train)


def test_sart_reads_quoted_line_breaks_and_drops_repeated_tweets(data: Path) -> None:
    assert read_split(data, "sart", "train", LabelledText) == [
        LabelledText("două\nrânduri, una", "positive")
    ]
    assert read_split(data, "sart", "dev", LabelledText)[0].label == "negative"


def test_similarity_keeps_the_range_and_literal_quotes_of_the_corpus(data: Path) -> None:
    assert read_split(data, "ro-sts", "dev", ScoredPair) == [
        ScoredPair('Un "om dev.', "Un bărbat dev.", 4.25)
    ]


def test_the_english_benchmark_has_quoted_commas(data: Path) -> None:
    assert read_split(data, "stsb-multi-mt/en", "dev", ScoredPair)[0].first == "A, dev, en"


def test_parallel_sentences_go_line_by_line(data: Path) -> None:
    assert read_split(data, "ro-sts/ro-en", "dev", ParallelSentence) == [
        ParallelSentence("Un om.", "A man."),
        ParallelSentence("O casă.", "A house."),
    ]
    # `B` stands in both pairs of the benchmark and is one sentence.
    assert read_split(data, "stsb-multi-mt/en-es", "dev", ParallelSentence) == [
        ParallelSentence("A, dev, en", "A, dev, es"),
        ParallelSentence("B dev", "B dev"),
        ParallelSentence("C dev", "C dev"),
    ]


def test_dialects_are_named_by_their_letters(data: Path) -> None:
    assert read_split(data, "moroco-mrc2019", "dev", LabelledText) == [
        LabelledText("la validation", "MD"),
        LabelledText("în validation", "RO"),
    ]
    assert {a.label for a in read_split(data, "ro-md-news", "train", LabelledText)} == {"MD", "RO"}


def test_entailment_keeps_literal_quotes_and_skips_the_header_of_train_only(data: Path) -> None:
    assert read_split(data, "rte", "train", LabelledPair) == [
        LabelledPair('It "is.', "Is.", "entailment")
    ]
    assert read_split(data, "rte", "dev", LabelledPair)[0].label == "not_entailment"


def test_english_reviews_have_two_classes(data: Path) -> None:
    labels = [r.label for r in read_split(data, "sst2", "train", LabelledText)]

    assert labels == ["positive", "negative"]


def test_biomedical_sentences_are_bio2_and_documents_have_no_marks(data: Path) -> None:
    assert read_split(data, "bio-ner/JNLPBA", "dev") == [
        PartlyTagged(
            ("the", "SCL", "gene"),
            ("O", "B-DNA", "I-DNA"),
            (True, True, True),
            types=("DNA", "RNA", "cell_line", "cell_type", "protein"),
        )
    ]


BROKEN = [
    ("ro-rrt", "dev", "ro-rrt/ro_rrt-ud-dev.conllu", "1\tAna\n", r"dev\.conllu:1: 2 columns"),
    (
        "ro-rrt",
        "dev",
        "ro-rrt/ro_rrt-ud-dev.conllu",
        "1-2\tdin\t" + "\t".join("_" * 8) + "\n",
        r"dev\.conllu:1: id '1-2'",
    ),
    ("laroseda", "train", "laroseda/laroseda_train.json", "[]", r"json: an object is expected"),
    (
        "laroseda",
        "train",
        "laroseda/laroseda_train.json",
        json.dumps({"reviews": [review(0, "3")]}),
        r"review 0: label '3' is none of 1, 2, 4, 5",
    ),
    ("ro-sent", "dev", "ro-sent/ro_sent_train.tsv", "h\nneg\tfile\n", r"tsv:2: 2 columns"),
    ("ro-sent", "dev", "ro-sent/ro_sent_train.tsv", "h\nneg\tf\t \n", r"tsv:2: text is empty"),
    ("sart", "dev", "sart/val.csv", ",text,Label\n1,bun,3\n", r"val\.csv:2: label '3'"),
    ("sart", "dev", "sart/val.csv", ',text,Label\n1,"bun,3\n', r"val\.csv:2: unexpected end"),
    ("ro-sts", "dev", "ro-sts/RO-STS.dev.tsv", "5.1\ta\tb\n", r"tsv:1: '5\.1' is no number"),
    ("ro-sts", "dev", "ro-sts/RO-STS.dev.tsv", "nan\ta\tb\n", r"tsv:1: 'nan' is no number"),
    ("sst2", "dev", "sst2/dev.tsv", "fine\t1\textra\n", r"dev\.tsv:1: 3 columns"),
    ("rte", "dev", "rte/val.tsv", "0\ta\tb\tmaybe\n", r"val\.tsv:1: label 'maybe'"),
    ("stsb-multi-mt/es", "dev", "stsb-multi-mt/stsb-es-dev.csv", "a,b\n", r"csv:1: 2 columns"),
    ("bio-ner/JNLPBA", "dev", "bio-ner/JNLPBA/devel.tsv", "SCL\n", r"devel\.tsv:1: expected a tok"),
    ("bio-ner/JNLPBA", "dev", "bio-ner/JNLPBA/devel.tsv", "SCL\tDNA\n", r"tsv:1: tag 'DNA'"),
]


@pytest.mark.parametrize(("corpus", "split", "file", "text", "message"), BROKEN)
def test_a_malformed_file_is_named_with_its_line(
    tmp_path: Path, corpus: str, split: str, file: str, text: str, message: str
) -> None:
    write(tmp_path / file, text)

    with pytest.raises(DataError, match=message):
        read_split(tmp_path, corpus, split, CORPORA[corpus].kind)


def test_labels_of_other_samples_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "moroco/validation/samples.txt", "3\tuna\n4\talta\n")
    write(tmp_path / "moroco/validation/dialect_labels.txt", "3\t1\n5\t2\n")

    with pytest.raises(DataError, match=r"dialect_labels\.txt:2: label of '5', expected that"):
        read_split(tmp_path, "moroco", "dev", LabelledText)


def test_translations_that_do_not_line_up_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "ro-sts/ro-en/RO-STS.dev.ro", "Un om.\nO casă.\n")
    write(tmp_path / "ro-sts/ro-en/RO-STS.dev.en", "A man.\n")

    with pytest.raises(DataError, match=r"dev\.ro: 2 lines, RO-STS\.dev\.en has 1"):
        read_split(tmp_path, "ro-sts/ro-en", "dev", ParallelSentence)


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_missing_corpus_is_named_with_the_files_looked_for(tmp_path: Path, corpus: str) -> None:
    for split in CORPORA[corpus].splits:
        with pytest.raises(DataError, match=r": none of .+ is there"):
            read_split(tmp_path, corpus, split, CORPORA[corpus].kind)


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "sst2/dev.tsv.gz", "fine\t1\n" * 100)
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(DataError, match=r"dev\.tsv\.gz: unreadable"):
        read_split(tmp_path, "sst2", "dev", LabelledText)


def test_examples_of_another_kind_are_refused(data: Path) -> None:
    with pytest.raises(DataError, match="laroseda: holds LabelledText, not TaggedSentence"):
        read_split(data, "laroseda", "dev")
