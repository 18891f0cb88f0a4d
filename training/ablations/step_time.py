"""What a training step costs on this machine, with dropout from the pool and as torch draws it.

    python -m training.ablations.step_time

Steps of a 6-layer, 384-wide tagger with random weights on 32 sentences of 40 tokens, interleaved;
prints the median seconds of either and their ratio.
"""

import json
import statistics
import sys
import time
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from transformers import BertConfig, BertModel

from training.dropout import PooledDropout
from training.loop import autocast

STEPS = 20


def main() -> None:
    """Time both ways, print one JSON object."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32_000,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        attn_implementation="eager",
    )
    model = nn.ModuleDict({"trunk": BertModel(config), "output": nn.Linear(384, 480)}).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids, classes = torch.randint(0, 32_000, (32, 40)), torch.randint(0, 480, (32, 40))
    ways: dict[str, AbstractContextManager] = {"torch": nullcontext(), "pool": PooledDropout()}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(STEPS):
        for way, dropout in ways.items():
            started = time.perf_counter()
            with autocast(), dropout:
                logits = model["output"](model["trunk"](input_ids=ids).last_hidden_state)
            nn.functional.cross_entropy(logits.float().transpose(1, 2), classes).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seconds[way].append(time.perf_counter() - started)
    medians = {way: statistics.median(taken[2:]) for way, taken in seconds.items()}
    result = medians | {"ratio": medians["torch"] / medians["pool"], "steps": STEPS}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
