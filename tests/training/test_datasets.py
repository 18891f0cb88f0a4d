import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets import read_split
from training.datasets.examples import TaggedSentence
from training.datasets.raw_text import read_lines
from training.datasets.splits import Split
from training.errors import DataError

RECORD = {
    "id": 7,
    "tokens": ["Ana", "merge", "la", "Iași", "."],
    "ner_tags": ["B-PERSON", "O", "O", "B-GPE", "O"],
    "space_after": [True, True, True, False, False],
}


def write_valid(folder: Path, text: str) -> Path:
    (folder / "ronec").mkdir()
    (folder / "ronec" / "valid.json").write_text(text, encoding="utf-8")
    return folder


def test_ronec_records_become_tagged_sentences(tmp_path: Path) -> None:
    data = write_valid(tmp_path, json.dumps([RECORD]))

    sentence = read_split(data, "ronec", "valid")[0]

    assert sentence.text == "Ana merge la Iași."
    assert sentence.tags == ("B-PERSON", "O", "O", "B-GPE", "O")
    assert [sentence.text[a:b] for a, b in sentence.word_spans] == RECORD["tokens"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (RECORD | {"ner_tags": ["O"]}, r"valid.json:3: record 1 \(id 7\): 5 tokens, 1 tags"),
        (RECORD | {"ner_tags": ["PER"] * 5}, r"valid.json:3: record 1 \(id 7\): tag 'PER'"),
        (RECORD | {"tokens": [""] * 5}, r"valid.json:3: record 1 \(id 7\): tokens must be"),
        ({"id": 8}, r"valid.json:3: record 1: no ner_tags and no tokens"),
        (RECORD | {"tokens": None}, r"valid.json:3: record 1 \(id 7\): .* must be lists"),
        (RECORD | {"ner_tags": ["B-"] * 5}, r"valid.json:3: record 1 \(id 7\): tag 'B-'"),
        (["Ana"], r"valid.json:3: record 1: an object is expected, got list"),
    ],
)
def test_a_malformed_record_is_named_by_file_line_and_record(
    tmp_path: Path, broken: object, message: str
) -> None:
    lines = ["[", json.dumps(RECORD) + ",", json.dumps(broken), "]"]
    data = write_valid(tmp_path, "\n".join(lines))

    with pytest.raises(DataError, match=message):
        read_split(data, "ronec", "valid")


@pytest.mark.parametrize("text", ['[{"id": 1', "[\n{]", "", "{}", "[{} {}"])
def test_a_file_that_is_no_json_array_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"valid\.json:\d+: "):
        read_split(write_valid(tmp_path, text), "ronec", "valid")


def test_a_missing_corpus_says_which_files_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of valid\.json, valid\.json\.gz is there"):
        read_split(tmp_path, "ronec", "valid")


def test_an_empty_slice_is_refused(tmp_path: Path) -> None:
    data = write_valid(tmp_path, json.dumps([RECORD]))

    with pytest.raises(DataError, match="no example"):
        read_split(data, "ronec", "valid[:50%]")


@given(st.integers(0, 50), st.integers(0, 100))
def test_two_slices_at_the_same_percentage_share_nothing_and_lose_nothing(
    count: int, percent: int
) -> None:
    examples = list(range(count))
    first = Split("valid", 0, percent).cut(examples)
    second = Split("valid", percent, 100).cut(examples)

    assert [*first, *second] == examples


@pytest.mark.parametrize("text", ["valid[", "valid[60:]", "valid[60%:40%]", "valid[:101%]", ""])
def test_an_odd_split_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="split"):
        Split.parse(text)


def test_a_sentence_with_clitics_keeps_its_running_text() -> None:
    sentence = TaggedSentence(("s-", "a", "dus"), ("O", "O", "O"), (False, True, True))

    assert sentence.text == "s-a dus"


def shard(folder: Path, lines: list[str]) -> Path:
    with lzma.open(folder / "news-00.txt.xz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return folder


def test_a_share_keeps_the_same_lines_whatever_their_order(tmp_path: Path) -> None:
    lines = [f"Rândul numărul {i}" for i in range(400)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = {t.text for t in read_lines(shard(tmp_path / "a", lines), {"news": 0.5})}
    other = {t.text for t in read_lines(shard(tmp_path / "b", lines[::-1]), {"news": 0.5})}

    assert one == other
    assert 150 < len(one) < 250


def test_development_lines_are_the_same_at_every_share(tmp_path: Path) -> None:
    folder = shard(tmp_path, [f"Rândul numărul {i}" for i in range(400)])

    def dev(share: float) -> set[str]:
        return {t.text for t in read_lines(folder, {"news": share}, dev_share=0.1) if t.is_dev}

    assert dev(1.0) == dev(0.2) != set()


def test_raw_text_that_is_not_utf8_is_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "news-00.txt").write_bytes("bună\n".encode() + b"\xff\n")

    with pytest.raises(DataError, match=r"news-00\.txt:2: not UTF-8"):
        list(read_lines(tmp_path, {"news": 1.0}))


def test_a_source_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no shard named news-\*"):
        list(read_lines(tmp_path, {"news": 1.0}))


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    whole = shard(tmp_path, ["un rând"] * 2000) / "news-00.txt.xz"
    whole.write_bytes(whole.read_bytes()[:-20])

    with pytest.raises(DataError, match=r"unreadable after line \d+"):
        list(read_lines(tmp_path, {"news": 1.0}))
