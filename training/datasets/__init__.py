"""Readers of the corpora: one file each, with source, licence and splits in its docstring.

A corpus is named after its folder under the data directory, then after the part of it that is meant
(`mtop/xsemplr/es`). training/README.md has the table for people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, overload

from training.datasets import (
    bio_ner,
    covid19_qa_es,
    fb_multilingual,
    laroseda,
    moroco,
    mtop,
    multiatis,
    ro_md_news,
    ro_rrt,
    ro_sent,
    ro_sts,
    ronec,
    rte,
    sart,
    snips,
    squad,
    squad_es_dist,
    sst2,
    stsb,
)
from training.datasets.examples import (
    Example,
    LabelledPair,
    LabelledText,
    ParallelSentence,
    Question,
    ScoredPair,
    TaggedSentence,
    Utterance,
)
from training.datasets.splits import Split, apart
from training.errors import DataError

Kind = TypeVar("Kind", bound=Example)
NON_COMMERCIAL = "CC-BY-NC-SA-4.0"
UNSTATED = "not stated"


@dataclass(frozen=True, slots=True)
class Corpus:
    """A labelled corpus.

    Attributes:
        kind: what its examples are.
        task: what the labels are for: a served task, or a name of their own.
        licence: SPDX identifier of the data, or "not stated".
        splits: their names.
        read: takes the data directory and the name of a split.
        apart_from: corpora whose `dev` the `train` of this one must not repeat (splits.apart).
    """

    kind: type[Example]
    task: str
    licence: str
    splits: tuple[str, ...]
    read: Callable[[Path, str], Sequence[Example]]
    apart_from: tuple[str, ...] = ()


CORPORA: dict[str, Corpus] = {
    "ronec": Corpus(TaggedSentence, "ner", "MIT", tuple(ronec.FILES), ronec.read),
    "ro-rrt": Corpus(
        TaggedSentence, "tagging", "CC-BY-SA-4.0", tuple(ro_rrt.FILES), ro_rrt.read, ("ro-rrt",)
    ),
    "laroseda": Corpus(
        LabelledText,
        "sentiment",
        NON_COMMERCIAL,
        tuple(laroseda.FILES),
        laroseda.read,
        ("laroseda",),
    ),
    "ro-sent": Corpus(
        LabelledText, "sentiment", UNSTATED, ro_sent.SPLITS, ro_sent.read, ("ro-sent", "laroseda")
    ),
    "sart": Corpus(
        LabelledText, "sentiment", "CC0-1.0", tuple(sart.FILES), sart.read, ("sart", "laroseda")
    ),
    "ro-sts": Corpus(ScoredPair, "sts", "CC-BY-SA-4.0", ro_sts.SPLITS, ro_sts.read, ("ro-sts",)),
    "ro-sts/ro-en": Corpus(
        ParallelSentence, "translation", "CC-BY-SA-4.0", ro_sts.SPLITS, ro_sts.read_parallel
    ),
    **{
        name: Corpus(
            LabelledText,
            "dialect",
            NON_COMMERCIAL,
            tuple(moroco.FOLDERS),
            partial(moroco.read, corpus=name),
            (name,),
        )
        for name in ("moroco", "moroco-mrc2019")
    },
    "ro-md-news": Corpus(LabelledText, "dialect", "MIT", ro_md_news.SPLITS, ro_md_news.read),
    "mtop/en": Corpus(Utterance, "parse", "CC-BY-SA-4.0", mtop.SPLITS, mtop.read),
    **{
        f"mtop/xsemplr/{language}": Corpus(
            Utterance,
            "parse",
            "CC-BY-SA-4.0",
            ("train", "dev", "test"),
            partial(mtop.read_parallel, language=language),
        )
        for language in mtop.LANGUAGES
    },
    **{
        f"fb-multilingual-task-oriented/{language}": Corpus(
            Utterance,
            "parse",
            UNSTATED,
            tuple(fb_multilingual.FILES),
            partial(fb_multilingual.read, language=language),
        )
        for language in fb_multilingual.LANGUAGES
    },
    **{
        name: Corpus(
            Utterance, "parse", licence, tuple(snips.FOLDERS), partial(snips.read, corpus=name)
        )
        for name, licence in (("snips", "CC0-1.0"), ("atis", "LDC"))
    },
    **{
        f"multiatis/{language}": Corpus(
            Utterance,
            "parse",
            "LDC",
            multiatis.SPLITS,
            partial(multiatis.read, language=language),
        )
        for language in multiatis.LANGUAGES
    },
    "squad-en": Corpus(Question, "qa", "CC-BY-SA-4.0", squad.ENGLISH_SPLITS, squad.read_english),
    "squad-es": Corpus(Question, "qa", "MIT", squad.SPANISH_SPLITS, squad.read_spanish),
    "squad-es/v1.1": Corpus(Question, "qa", "MIT", squad.SPANISH_SPLITS, squad.read_whole_spanish),
    "squad-es-dist": Corpus(
        Question, "qa", "Apache-2.0", tuple(squad_es_dist.FILES), squad_es_dist.read
    ),
    "covid19-qa-es": Corpus(
        Question,
        "qa",
        UNSTATED,
        covid19_qa_es.SPLITS,
        covid19_qa_es.read,
        ("covid19-qa-es",),
    ),
    **{
        f"xquad/{language}": Corpus(
            Question,
            "qa",
            "CC-BY-SA-4.0",
            ("test",),
            partial(squad.read_xquad, language=language),
        )
        for language in squad.XQUAD_LANGUAGES
    },
    **{
        f"bio-ner/{name}": Corpus(
            TaggedSentence,
            "ner",
            "CC-BY-4.0",
            tuple(bio_ner.FILES),
            partial(bio_ner.read, corpus=name),
        )
        for name in bio_ner.TYPES
    },
    "sst2": Corpus(LabelledText, "sentiment", UNSTATED, sst2.SPLITS, sst2.read),
    "rte": Corpus(LabelledPair, "entailment", UNSTATED, tuple(rte.FILES), rte.read),
    **{
        f"stsb-multi-mt/{language}": Corpus(
            ScoredPair,
            "sts",
            "CC-BY-SA-4.0",
            stsb.SPLITS,
            partial(stsb.read, language=language),
            (f"stsb-multi-mt/{language}",),
        )
        for language in stsb.LANGUAGES
    },
    **{
        f"stsb-multi-mt/en-{language}": Corpus(
            ParallelSentence,
            "translation",
            "CC-BY-SA-4.0",
            stsb.SPLITS,
            partial(stsb.read_parallel, language=language),
        )
        for language in stsb.LANGUAGES[1:]
    },
}


@overload
def read_split(data_dir: Path, corpus: str, split: str) -> list[TaggedSentence]: ...


@overload
def read_split(data_dir: Path, corpus: str, split: str, kind: type[Kind]) -> list[Kind]: ...


def read_split(
    data_dir: Path, corpus: str, split: str, kind: type[object] = TaggedSentence
) -> Sequence[Example]:
    """Read a split or a slice of one, e.g. `valid[60%:]`.

    Args:
        data_dir: where the corpora lie.
        corpus: one of CORPORA.
        split: name and slice.
        kind: of the examples that are wanted.

    Raises:
        DataError: missing or malformed data, examples of another kind, or a slice that leaves
            nothing.
    """
    entry, part = CORPORA[corpus], Split.parse(split)
    if entry.kind is not kind:
        raise DataError(f"{corpus}: holds {entry.kind.__name__}, not {kind.__name__}")
    examples = entry.read(data_dir, part.name)
    if part.name == "train":
        for other in entry.apart_from:
            # Who does not hold the other corpus cannot measure on it either.
            if other == corpus or (data_dir / other).is_dir():
                examples = apart(examples, CORPORA[other].read(data_dir, "dev"))
    chosen = list(part.cut(examples))
    if not chosen:
        raise DataError(f"{corpus} {split}: no example")
    return chosen
