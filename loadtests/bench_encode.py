"""Texts to arrays: hashed words against subwords, on the same texts, in CPU time.

Times `encode` and `collate` of the contract, one text at a time and in batches, and the projection
alone (words and their features), with the cache of words warm. Writes results/encode.json and
RESULTS.md.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.contract.encoding import Encoder
from app.contract.manifest import ALIASES
from app.contract.normalization import normalize
from app.contract.pipeline import Package
from app.contract.projected_text import ProjectionEncoder
from loadtests.report import record
from loadtests.texts import TEXTS

WINDOW = {"max_tokens": 512, "stride": 0}


def main() -> None:
    args = parse_arguments()
    projection = ProjectionEncoder(features=args.features, case=False, **WINDOW)
    subword = Package.load(args.package or default_package(Path("model_store/ner")))
    encoders = {
        f"projection, {args.features} features": projection,
        f"subwords of {subword.manifest.name}": subword.encoder,
    }
    rows = [
        {
            "encoder": name,
            "batch_size": size,
            "tokens": sum(w.num_tokens for e in encoder.encode(TEXTS) for w in e.windows),
            "seconds": best_seconds(lambda e=encoder, n=size: encode_all(e, n), args.repetitions),
        }
        for name, encoder in encoders.items()
        for size in args.batch_sizes
    ]
    texts = [normalize(text).text for text in TEXTS]
    alone = best_seconds(
        lambda: [projection.rows(projection.segment(text).words) for text in texts],
        args.repetitions,
    )
    result = {
        "texts": len(TEXTS),
        "words": sum(len(text.split()) for text in TEXTS),
        "repetitions": args.repetitions,
        "projection_alone": {"tokens": rows[0]["tokens"], "seconds": alone},
        "rows": rows,
    }
    print(record("encode", result))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_encode",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m loadtests.bench_encode --features 512",
    )
    parser.add_argument(
        "--package",
        type=Path,
        help="whose tokenizer is the other side; the default model of ner if not given",
    )
    parser.add_argument("--features", type=int, default=1024, help="of the projection")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 32], help="texts a call")
    parser.add_argument("--repetitions", type=int, default=20, help="passes; the fastest counts")
    return parser.parse_args()


def default_package(task: Path) -> Path:
    """The newest version of the model that answers for a task."""
    model = task / json.loads((task / ALIASES).read_bytes())["default"]
    return max(model.iterdir(), key=lambda version: int(version.name))


def encode_all(encoder: Encoder, batch_size: int) -> None:
    for start in range(0, len(TEXTS), batch_size):
        encoded = encoder.encode(TEXTS[start : start + batch_size])
        encoder.collate([window for text in encoded for window in text.windows])


def best_seconds(run: Callable[[], Sequence[object] | None], repetitions: int) -> float:
    """CPU seconds of all threads, of the fastest pass: what others do on the machine adds time."""
    run()
    seconds = []
    for _ in range(repetitions):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
