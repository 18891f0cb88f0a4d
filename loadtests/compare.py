"""Teacher and students behind the same service, under the same load, task by task.

Finds by itself which tasks of the store have a teacher and a student. Every model meets closed-loop
users and open arrivals (a share of what the teacher can answer), repetitions interleaved so that a
slow minute of the machine meets all of them, on the same cores; Locust has the last core for itself
where there are several. Writes results/load.json, two pictures and RESULTS.md.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.contenders import Contenders, find_contenders
from loadtests.environment import cores_of
from loadtests.figures import percentiles_ms, ratio_interval
from loadtests.inputs import MIXES, inputs_of, words
from loadtests.live_loyalty import loyalties
from loadtests.locust_runs import Offered, Run, run_locust
from loadtests.plots import draw_latencies, draw_throughput
from loadtests.report import HERE, record
from loadtests.servers import Service, service

CDF = tuple(range(101))
"""Percentiles of which the pictures are drawn."""


def main() -> None:
    args = parse_arguments()
    *serving, generating = cores_of()
    with service(args.model_store, cores=serving, log_level="error") as loyal:
        contenders, skipped = find_contenders(loyal.get("/v1/models"), args.tasks)
        for task, reason in skipped.items():
            print(f"{task} is left out: {reason}", file=sys.stderr)
        if not contenders:
            sys.exit(f"nothing to compare in {args.model_store}: no task has teacher and student")
        runs = [
            run for task in contenders for run in runs_of(loyal, task, args, cores=[generating])
        ]
    result = {
        "seconds": args.seconds,
        "repetitions": args.repetitions,
        "open_share": args.open_share,
        "threads": len(serving) or 1,
        "shares_cores": not serving,
        "skipped": skipped,
        "inputs": [lengths(task.task) for task in contenders],
        "rows": [row for task in contenders for row in rows_of(task, runs)],
        "ratios": [row for task in contenders for row in ratios_of(task, runs)],
        "loyalty": list(loyalties(contenders, model_store=args.model_store)),
    }
    print(record("load", result, folder=args.output))
    draw_latencies(result["rows"], args.output / "results/load-latency.png")
    draw_throughput(result["rows"], result["ratios"], args.output / "results/load-throughput.png")
    if any(row["errors"] for row in result["rows"]):
        sys.exit("some requests failed: see the column `errors`")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.compare",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m loadtests.compare --tasks ner --seconds 5 --repetitions 2",
    )
    tasks = list(MIXES)
    parser.add_argument(
        "--tasks", nargs="+", choices=tasks, default=tasks, metavar="TASK", help="routes to load"
    )
    parser.add_argument("--users", nargs="+", type=int, default=[1, 16], help="closed-loop users")
    parser.add_argument(
        "--open-share",
        type=float,
        default=0.7,
        help="open arrivals, as a share of what the teacher answers under the most users",
    )
    parser.add_argument("--seconds", type=int, default=3, help="of each run, after warm-up")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each model and load")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of report and results")
    return parser.parse_args()


def runs_of(
    loyal: Service, task: Contenders, args: argparse.Namespace, *, cores: Sequence[int]
) -> list[Run]:
    """All runs of a task; the rate of open arrivals follows from those of closed loops."""
    runs: list[Run] = []

    def repeat(offered: Offered) -> list[Run]:
        new = []
        for repetition in range(args.repetitions):
            for model in task.models if repetition % 2 == 0 else task.models[::-1]:
                run = run_locust(
                    loyal,
                    task.task,
                    model,
                    offered,
                    seconds=args.seconds,
                    repetition=repetition,
                    cores=cores,
                )
                new.append(run)
                print(f"{task.task}/{model}, {offered}: {run.texts_per_s:.1f}/s", file=sys.stderr)
        return new

    for users in sorted(args.users):
        runs += repeat(Offered(users=users))
    most = [run for run in runs if run.model == task.teacher and run.offered.users == users]
    capacity = statistics.median(run.requests_per_s for run in most)
    return runs + repeat(Offered(per_s=max(1, round(args.open_share * capacity))))


def rows_of(task: Contenders, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row a load and model: latencies pooled over the repetitions, rates as their median."""
    rows = []
    for offered in dict.fromkeys(run.offered for run in runs if run.task == task.task):
        for model in task.models:
            mine = [r for r in runs if (r.task, r.model, r.offered) == (task.task, model, offered)]
            latencies_ms = [latency for run in mine for latency in run.latencies_ms]
            cdf_ms = np.percentile(latencies_ms, CDF).tolist() if latencies_ms else []
            rows.append(
                {
                    "task": task.task,
                    "model": model,
                    "is_teacher": model == task.teacher,
                    "load": str(offered),
                    "offered": asdict(offered),
                    "answered_by": sorted({name for run in mine for name in run.answered_by}),
                    **{name: sum(getattr(run, name) for run in mine) for name in SUMMED},
                    **percentiles_ms([latency / 1000 for latency in latencies_ms]),
                    **{name: statistics.median(getattr(r, name) for r in mine) for name in MEDIAN},
                    "cdf_ms": [round(latency, 3) for latency in cdf_ms],
                }
            )
    return rows


SUMMED = ("requests", "refused", "errors")
MEDIAN = ("requests_per_s", "texts_per_s", "padding_share")


def ratios_of(task: Contenders, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Each student against the teacher, repetition by repetition; above 1 the student is faster."""
    rows = []
    for offered in dict.fromkeys(run.offered for run in runs if run.task == task.task):
        same = [run for run in runs if (run.task, run.offered) == (task.task, offered)]
        by_model = {
            model: sorted((r for r in same if r.model == model), key=lambda r: r.repetition)
            for model in task.models
        }
        teacher = by_model[task.teacher]
        for student in task.students:
            own = by_model[student]
            row: dict[str, Any] = {"task": task.task, "model": student, "load": str(offered)}
            row["texts_per_s"] = ratio_interval(
                [run.texts_per_s for run in own], [run.texts_per_s for run in teacher]
            )
            for percent in (50, 99):
                row[f"p{percent}"] = ratio_interval(
                    [run.percentile_ms(percent) for run in teacher],
                    [run.percentile_ms(percent) for run in own],
                )
            rows.append(row)
    return rows


def lengths(task: str) -> dict[str, Any]:
    """Words of the inputs of a task, as they are drawn."""
    kinds = [(weight, [words(value) for value in kind]) for weight, kind in MIXES[task]]
    total = sum(weight for weight, _ in kinds)
    mean = sum(weight * statistics.fmean(counts) for weight, counts in kinds) / total
    every = [count for _, counts in kinds for count in counts]
    return {
        "task": task,
        "inputs": len(inputs_of(task)),
        "words": {"mean": mean, "low": min(every), "high": max(every)},
    }


if __name__ == "__main__":
    main()
