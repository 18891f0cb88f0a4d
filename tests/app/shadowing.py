"""What the tests of live loyalty look at.

The student `tiny` tags "merge" as its teacher `big` does not, and agrees on every other word.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.metrics import SHADOW_DROPS
from tests.app.harness import Api, Held, until
from tests.tiny_graphs import MARGIN
from tests.tiny_package import build, write_aliases
from tests.tiny_pairs import retag

GAUGES = ("label_ratio", "probability_ratio", "regression_mae")
ALL = {"shadow_share": 1.0}


def with_a_teacher(store: Path) -> Path:
    """Add the teacher to a store."""
    retag(build(store, model="big"), {"merge": ("B-GPE", MARGIN)})
    write_aliases(store, default="tiny", teacher="big")
    return store


def pending(api: Api) -> int:
    return len(api.service.registry.shadow._pending)


async def compared(api: Api) -> None:
    await until(lambda: pending(api) == 0)


async def gauges(api: Api, model: str = "tiny") -> dict[str, float]:
    samples = await api.metrics()
    return {
        name: value
        for name in GAUGES
        for (sample, labels), value in samples.items()
        if sample == f"loyal_loyalty_{name}" and ("model", model) in labels
    }


async def expectations(api: Api) -> dict[str, float]:
    """What manifests say of loyalty, of students that are being compared."""
    found = await api.metrics()
    return {name: v for (name, _), v in found.items() if name.startswith("loyal_loyalty_expected")}


async def samples(api: Api, model: str = "tiny") -> float:
    return await api.total("loyal_shadow_samples_total", model=model)


async def drops(api: Api) -> dict[str, float]:
    """Sampled inputs that were not compared, by reason."""
    counts = {
        reason: await api.total("loyal_shadow_dropped_total", model="tiny", reason=reason)
        for reason in SHADOW_DROPS
    }
    return {reason: count for reason, count in counts.items() if count}


@asynccontextmanager
async def waiting_sample(api: Api, model: str | None = None) -> AsyncIterator[None]:
    """A sample of a model that was answered, and waits for its teacher because no core is free."""
    student = Held(api, model or "tiny")
    asked = asyncio.create_task(api.ner("Ion", model=model or "default"))
    await student.until_it_runs()
    with student.ended():
        assert (await asked).status_code == 200
        assert pending(api) == 1
        yield
