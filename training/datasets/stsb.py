"""The STS benchmark in English and, machine-translated, in Spanish, German and French.

Cer et al. 2017, "SemEval-2017 Task 1"; translations by P. May 2021,
https://github.com/PhilipMay/stsb-multi-mt. Scores CC BY-SA 4.0; the sentences have the terms of
their sources, the MSRpar part research terms.

Files, under `<data>/stsb-multi-mt/`: stsb-{en,es,de,fr}-{train,dev,test}.csv without a header:
sentence, sentence, score 0 to 5. Files of two languages agree line by line.
Splits: `train`, `dev`, `test`; pairs of `train` that repeat a dev pair are left out of the scored
corpora (`apart_from`).
"""

from pathlib import Path

from training.datasets.corpus_files import expect, locate, number_in, read_csv
from training.datasets.examples import ParallelSentence, ScoredPair
from training.errors import DataError

SPLITS = ("train", "dev", "test")
LANGUAGES = ("en", "es", "de", "fr")
HIGHEST = 5.0


def read(data_dir: Path, split: str, *, language: str) -> list[ScoredPair]:
    """Read one split, in file order.

    Raises:
        DataError: the file is missing or a row malformed; names file and line.
    """
    path = locate(data_dir / "stsb-multi-mt", f"stsb-{language}-{split}.csv")
    return [
        ScoredPair(
            expect(first, str, "sentence 1", place),
            expect(second, str, "sentence 2", place),
            number_in(score, 0, HIGHEST, place),
        )
        for (first, second, score), place in read_csv(path, 3)
    ]


def read_parallel(data_dir: Path, split: str, *, language: str) -> list[ParallelSentence]:
    """The distinct sentences of one split in English and another language, in file order.

    Raises:
        DataError: see `read`, or the files do not line up.
    """
    english, other = (read(data_dir, split, language=name) for name in ("en", language))
    if [pair.score for pair in english] != [pair.score for pair in other]:
        raise DataError(f"{data_dir}/stsb-multi-mt: en and {language} {split} do not line up")
    sentences = [
        sentence
        for one, two in zip(english, other, strict=True)
        for sentence in (
            ParallelSentence(one.first, two.first),
            ParallelSentence(one.second, two.second),
        )
    ]
    return list(dict.fromkeys(sentences))
