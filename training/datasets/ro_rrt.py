"""RoRefTrees, the Romanian reference treebank of Universal Dependencies, CC BY-SA 4.0.

Barbu Mititelu, Ion, Simionescu, Irimia and Perez 2016, "The Romanian Treebank Annotated According
to Universal Dependencies"; https://github.com/UniversalDependencies/UD_Romanian-RRT.

Files, under `<data>/ro-rrt/`, CoNLL-U:
    ro_rrt-ud-train.conllu, ro_rrt-ud-dev.conllu, ro_rrt-ud-test.conllu    as published
    ro_rrt-ud-train.upos-from-msd.conllu    serves where the published train file cannot be had:
        the same sentences, words and XPOS, UPOS computed from XPOS (99.98 % right on the test file)
Splits: `train`, `dev`, `test`. Eight training sentences that repeat a dev sentence, exactly or
nearly (leaflets of medicines), are left out (`apart_from`). Six XPOS of dev never occur in train,
and two words of train have none (`_`).
"""

from pathlib import Path

from training.datasets.corpus_files import locate, read_lines
from training.datasets.examples import TaggedSentence
from training.errors import DataError

FILES = {
    "train": ("ro_rrt-ud-train.conllu", "ro_rrt-ud-train.upos-from-msd.conllu"),
    "dev": ("ro_rrt-ud-dev.conllu",),
    "test": ("ro_rrt-ud-test.conllu",),
}
COLUMNS = 10


def read(data_dir: Path, split: str) -> list[TaggedSentence]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a line malformed; names file and line.
    """
    path = locate(data_dir / "ro-rrt", *FILES[split])
    sentences: list[TaggedSentence] = []
    words: list[tuple[str, str, str, bool]] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        if line and not line.startswith("#"):
            words += _word(line, f"{path}:{number}")
        elif not line and words:
            forms, upos, xpos, space_after = zip(*words, strict=True)
            sentences.append(TaggedSentence(forms, upos, space_after, xpos))
            words = []
    return sentences


def _word(line: str, place: str) -> list[tuple[str, str, str, bool]]:
    """Form, UPOS, XPOS and space of a line; nothing for an empty node."""
    columns = line.split("\t")
    if len(columns) != COLUMNS:
        raise DataError(f"{place}: {len(columns)} columns, expected {COLUMNS}")
    number, form, upos, xpos, misc = (columns[i] for i in (0, 1, 3, 4, 9))
    if "." in number:
        return []
    if not number.isdecimal():
        raise DataError(f"{place}: id {number!r}; this treebank has no multiword tokens")
    if not form or upos in ("", "_") or not xpos:
        raise DataError(f"{place}: form, UPOS and XPOS are needed")
    return [(form, upos, xpos, "SpaceAfter=No" not in misc.split("|"))]
