"""RO-STS, semantic similarity of Romanian sentences, and its English originals; CC BY-SA 4.0.

Dumitrescu et al. 2021, "LiRo: Benchmark and leaderboard for Romanian language tasks";
https://github.com/dumitrescustefan/RO-STS.

Files, under `<data>/ro-sts/`:
    RO-STS.train.tsv, RO-STS.dev.tsv, RO-STS.test.tsv    score 0 to 5, sentence, sentence
    ro-en/RO-STS.{train,dev,test}.{ro,en}    the sentences and their originals, line by line
Splits: `train`, `dev`, `test`. Pairs of `train` that repeat a dev pair are left out (`apart_from`).
Sentences of the parallel `train` occur in the scored dev pairs, as sentences do across the parts of
the STS benchmark itself.
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, number_in, read_lines, read_tsv
from training.datasets.examples import ParallelSentence, ScoredPair
from training.errors import DataError

SPLITS = ("train", "dev", "test")
HIGHEST = 5.0


def read(data_dir: Path, split: str) -> list[ScoredPair]:
    """Read the scored pairs of one split, in file order.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "ro-sts", f"RO-STS.{split}.tsv")
    return [
        ScoredPair(
            expect(first, str, "sentence 1", place),
            expect(second, str, "sentence 2", place),
            number_in(score, 0, HIGHEST, place),
        )
        for (score, first, second), place in read_tsv(path, 3)
    ]


def read_parallel(data_dir: Path, split: str) -> list[ParallelSentence]:
    """Read the sentences (Romanian, English) of one split, in file order.

    Raises:
        DataError: a file is missing, a line is empty, or the two do not line up.
    """
    folder = data_dir / "ro-sts" / "ro-en"
    paths = [locate(folder, f"RO-STS.{split}.{language}") for language in ("ro", "en")]
    romanian, english = (read_lines(path) for path in paths)
    if len(romanian) != len(english):
        raise DataError(f"{paths[0]}: {len(romanian)} lines, {paths[1].name} has {len(english)}")
    return [
        ParallelSentence(
            expect(first, str, "sentence", f"{paths[0]}:{number}"),
            expect(second, str, "sentence", f"{paths[1]}:{number}"),
        )
        for number, (first, second) in enumerate(zip(romanian, english, strict=True), start=1)
    ]
