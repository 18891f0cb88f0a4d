"""How the two annotations of RONEC are used best: order, weight, a v2 finish.

Trains teachers on every second sentence of v1 and the first 48 % of v2 `valid`, and measures them
on the next 12 % (never on the development part, which starts at 60 %):

    python -m training.ablations.ner_stages ENCODER_FOLDER DATA_DIR
"""

import json
import sys
import tempfile
from pathlib import Path

from training.data import new_head
from training.datasets import read_split
from training.datasets.examples import TaggedSentence
from training.evaluate import Engine, predict_split, quality
from training.recipe import Stage, TrainingSplit
from training.runners import torch_runner
from training.task_model import new_model
from training.teacher import fine_tune, load_tokenizer
from training.units import UnitSet

SEED = 13
Plan = list[tuple[list[TaggedSentence], int, float]]
"""Sentences, epochs, learning rate of each stage."""


def main(encoder: str, data_dir: Path) -> None:
    """Train and measure every plan; one JSON line each."""
    v1 = read_split(data_dir, "ronec", "v1")[::2]
    v2 = read_split(data_dir, "ronec", "valid[:48%]")
    tune = read_split(data_dir, "ronec", "valid[48%:60%]")
    plans: dict[str, Plan] = {
        "v1 and v2 mixed, v2 finish": [(v1 + v2, 2, 5e-4), (v2, 4, 2e-4)],
        "v1, then v2": [(v1, 2, 5e-4), (v2, 6, 2e-4)],
        "v1 and three times v2 mixed": [(v1 + v2 * 3, 2, 5e-4)],
        "v2 alone": [(v2, 8, 5e-4)],
    }
    head = new_head("ner", v1 + v2)
    tokenizer = load_tokenizer(encoder, max_tokens=128, stride=32)
    for name, plan in plans.items():
        model = new_model(encoder, head, dropout=0.1, seed=SEED)
        with tempfile.TemporaryDirectory() as folder:
            for i, (sentences, epochs, learning_rate) in enumerate(plan):
                fine_tune(
                    model,
                    UnitSet(sentences, tokenizer, head),
                    Stage(
                        data=(TrainingSplit(corpus="ronec", split="v1"),),
                        epochs=epochs,
                        batch_size=16,
                        learning_rate=learning_rate,
                    ),
                    seed=SEED,
                    checkpoint=Path(folder) / f"{i}.pt",
                    title=name,
                )
        engine = Engine(tokenizer, torch_runner(model), head)
        score = quality(predict_split(engine, tune), tune)["strict_f1"]
        sys.stdout.write(json.dumps({"plan": name} | score.model_dump()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
