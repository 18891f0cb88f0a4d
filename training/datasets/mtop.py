"""MTOP, multilingual task-oriented parsing, CC BY-SA 4.0.

Li et al. 2021, "MTOP: A Comprehensive Multilingual Task-Oriented Semantic Parsing Benchmark";
https://fb.me/mtop_dataset. English as in https://github.com/HKUNLP/SymGen; six parallel languages
as in https://github.com/psunlpgroup/XSemPLR (Zhang et al. 2023).

Files, under `<data>/mtop/`:
    en/train.json, en/dev.json, en/test.json    JSON lines {"question", "logical_form"}
    xsemplr/dev.json, xsemplr/test.json    [{"id", "question": {language: text},
        "mr": {"slot_intent": {language: tree}}}], texts tokenized, trees in English slot order
Corpora and splits:
    mtop/en: `train`, `dev`, `test`, and `dev-without-xsemplr`, the dev utterances that are not in
        the other corpus. All of xsemplr's English is in `dev`: who trains on xsemplr in any
        language measures English on `dev-without-xsemplr`.
    mtop/xsemplr/<language>: `train` and `dev`, 700 ids and the rest, chosen by a hash of the id;
        `test`. The same ids make the same split in every language.
Trees are decoupled; tags are their outermost slots (training.datasets.tree_alignment).
"""

from pathlib import Path

from training.datasets.corpus_files import field, locate, read_json_array, read_json_lines
from training.datasets.examples import TaggedSentence, Utterance
from training.datasets.splits import shuffle
from training.datasets.tree_alignment import cut_words, slot_tags
from training.errors import DataError
from training.parse_trees import Tree

SPLITS = ("train", "dev", "dev-without-xsemplr", "test")
LANGUAGES = ("en", "de", "es", "fr", "hi", "th")
TRAIN_IDS = 700


def read(data_dir: Path, split: str) -> list[Utterance]:
    """Read one English split, in file order.

    Raises:
        DataError: a file is missing or a record malformed; names file and line.
    """
    if split == "dev-without-xsemplr":
        records = read_json_array(locate(data_dir / "mtop" / "xsemplr", "dev.json"))
        known = {_plain(_parallel(record, "en", place)[1]) for record, place in records}
        return [u for u in read(data_dir, "dev") if _plain(u.text) not in known]
    path = locate(data_dir / "mtop" / "en", f"{split}.json")
    return [
        _utterance(
            field(record, "question", str, place), field(record, "logical_form", str, place), place
        )
        for record, place in read_json_lines(path)
    ]


def read_parallel(data_dir: Path, split: str, *, language: str) -> list[Utterance]:
    """Read one split of a parallel language, in the order of the ids' hash.

    Raises:
        DataError: the file is missing or a record malformed; names file, line and record.
    """
    name = "test" if split == "test" else "dev"
    path = locate(data_dir / "mtop" / "xsemplr", f"{name}.json")
    found: dict[str, Utterance] = {}
    for record, place in read_json_array(path):
        identity, text, form = _parallel(record, language, place)
        if identity in found:
            raise DataError(f"{place}: id {identity} occurs twice")
        found[identity] = _utterance(text, form, place)
    ids = shuffle(found, key=str)
    if split != "test":
        ids = ids[:TRAIN_IDS] if split == "train" else ids[TRAIN_IDS:]
    return [found[identity] for identity in ids]


def _parallel(record: object, language: str, place: str) -> tuple[str, str, str]:
    """Id, text and tree of a record."""
    trees = field(field(record, "mr", dict, place), "slot_intent", dict, place)
    texts = field(record, "question", dict, place)
    return (
        field(record, "id", str, place),
        field(texts, language, str, place),
        field(trees, language, str, place),
    )


def _utterance(text: str, form: str, place: str) -> Utterance:
    # Some Thai texts are cut by zero-width spaces.
    text, form = text.replace("\u200b", " "), form.replace("\u200b", " ")
    words, space_after = cut_words(text)
    try:
        tree = Tree.parse(form)
        tags = slot_tags(tree, words)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    return Utterance(TaggedSentence(words, tags, space_after), tree.label, str(tree))


def _plain(text: str) -> str:
    return "".join(text.lower().split())
