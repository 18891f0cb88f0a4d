"""Biomedical named entities of English abstracts and articles, CC BY 4.0.

The collection of Crichton et al. 2017, "A neural network multi-task learning approach to biomedical
named entity recognition", https://github.com/cambridgeltl/MTL-Bioinformatics-2016: NCBI-disease
(Dogan et al. 2014), BC5CDR (Li et al. 2016), BC2GM (Smith et al. 2008), linnaeus (Gerner et al.
2010), AnatEM (Pyysalo and Ananiadou 2014), BioNLP11ID (Pyysalo et al. 2011), JNLPBA (Kim et al.
2004).

Files, under `<data>/bio-ner/<corpus>/`: train.tsv, devel.tsv, test.tsv: token TAB tag (BIO2), an
empty line between sentences, `-DOCSTART-` between documents.
Splits: `train`, `dev`, `test`. The three BC5CDR folders hold the same sentences under other tags:
never count them as independent data. Headings repeat across the parts, up to 8 % of a dev part.
"""

from pathlib import Path

from training.datasets.bio import bio2
from training.datasets.corpus_files import locate, read_lines
from training.datasets.examples import PartlyTagged
from training.errors import DataError

TYPES = {
    "NCBI-disease-IOB": ("Disease",),
    "BC5CDR-IOB": ("Chemical", "Disease"),
    "BC5CDR-chem-IOB": ("Chemical",),
    "BC5CDR-disease-IOB": ("Disease",),
    "BC2GM-IOB": ("GENE",),
    "linnaeus-IOB": ("Species",),
    "AnatEM-IOB": ("Anatomy",),
    "BioNLP11ID-species-IOB": ("Organism",),
    "JNLPBA": ("DNA", "RNA", "cell_line", "cell_type", "protein"),
}
"""What the annotators of each corpus looked for."""
FILES = {"train": "train.tsv", "dev": "devel.tsv", "test": "test.tsv"}


def read(data_dir: Path, split: str, *, corpus: str) -> list[PartlyTagged]:
    """Read one split, in file order; where spaces stood is not known, so one follows each word.

    Raises:
        DataError: the file is missing or a line malformed; names file and line.
    """
    path = locate(data_dir / "bio-ner" / corpus, FILES[split])
    sentences: list[PartlyTagged] = []
    rows: list[tuple[str, str]] = []
    for number, line in enumerate([*read_lines(path), ""], start=1):
        if line.strip():
            word, tab, tag = line.partition("\t")
            if not (word.strip() and tab and tag.strip()):
                raise DataError(f"{path}:{number}: expected a token, a tab and a tag")
            rows.append((word, tag.strip()))
        elif rows:
            words, tags = zip(*rows, strict=True)
            if words != ("-DOCSTART-",):
                checked = bio2(tags, f"{path}:{number - len(rows)}")
                spaces = (True,) * len(words)
                sentences.append(PartlyTagged(words, checked, spaces, types=TYPES[corpus]))
            rows = []
    return sentences
