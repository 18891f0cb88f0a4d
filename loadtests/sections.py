"""What RESULTS.md says of each benchmark, made from its JSON file."""

from typing import Any

from loadtests.markdown import interval, megabytes, milliseconds, provenance, spread, table

LOYALTIES = {
    "label_ratio": "labels",
    "probability_ratio": "probabilities",
    "regression_mae": "mean distance",
}
"""Measure of live loyalty -> what the report calls it."""

ENOUGH_FOR_P99 = 300
"""Requests; the 99th percentile of fewer is the two or three slowest."""


def load_section(result: dict[str, Any]) -> str:
    rows = [
        [
            f"{row['task']}/{row['model']}{' (teacher)' if row['is_teacher'] else ''}",
            row["load"],
            row["requests"],
            *(milliseconds(row[name]) for name in ("p50_ms", "p95_ms")),
            milliseconds(row["p99_ms"]) if row["requests"] >= ENOUGH_FOR_P99 else "",
            *(f"{row[name]:.1f}" for name in ("requests_per_s", "texts_per_s")),
            row["refused"],
            row["errors"],
            f"{row['padding_share']:.0%}",
        ]
        for row in result["rows"]
    ]
    columns = [
        *("model", "load", "requests", "p50 ms", "p95 ms", "p99 ms", "requests/s", "inputs/s"),
        *("429", "errors", "padding"),
    ]
    ratios = [
        [
            f"{row['task']}/{row['model']}",
            row["load"],
            *(interval(row[name]) for name in ("texts_per_s", "p50", "p99")),
        ]
        for row in result["ratios"]
    ]
    loyalty = [
        [f"{row['task']}/{row['model']}", f"{row['n']:.0f}", live_loyalty(row), expected(row)]
        for row in result["loyalty"]
    ]
    inputs = "; ".join(
        f"{row['task']} {row['words']['mean']:.0f} ({row['words']['low']} to "
        f"{row['words']['high']}, {row['inputs']} inputs)"
        for row in result["inputs"]
    )
    cores = (
        "which Locust shares"
        if result["shares_cores"]
        else f"threads that run models: {result['threads']}; Locust has another core"
    )
    skipped = "".join(f"Left out: {task}, {why}.\n" for task, why in result["skipped"].items())
    return "\n".join(
        [
            "## Teacher and students under load\n",
            f"n = {result['repetitions']} interleaved runs of {result['seconds']:g} s for each "
            f"model and load, all models of the store in one service on the same cores ({cores}). "
            "Closed-loop users send when they are answered; open arrivals are Poisson, at "
            f"{result['open_share']:.0%} of what the teacher answers under the most users, and "
            "count from when they were due. One request in ten carries 2 to 8 inputs; latencies "
            f"are those of requests with one, p99 of at least {ENOUGH_FOR_P99}. Words of an "
            f"input, mean (lowest to highest): {inputs}.\n",
            table(columns, rows),
            "Each student against its teacher, geometric mean of the repetitions' ratios [95 % "
            "interval]; above 1 the student is faster. Under open arrivals both answer what "
            "comes:\n",
            table(["student", "load", "inputs/s", "p50 latency", "p99 latency"], ratios),
            "Loyalty on these inputs, each asked once, as the service measures it live; and on "
            "held-out data, as its manifest says, in the same measure:\n",
            table(["student", "n", "on these inputs", "on held-out data"], loyalty),
            *([skipped] if skipped else []),
            "![Latency of every model and load](results/load-latency.png)\n",
            "![Inputs a second of every model](results/load-throughput.png)\n",
            provenance(result["environment"]),
        ]
    )


def live_loyalty(row: dict[str, Any]) -> str:
    return str(row["reason"]) if "reason" in row else measures(row, LOYALTIES)


def expected(row: dict[str, Any]) -> str:
    return measures(row, {f"expected_{key}": name for key, name in LOYALTIES.items()})


def measures(row: dict[str, Any], named: dict[str, str]) -> str:
    return ", ".join(f"{name} {row[key]:.3f}" for key, name in named.items() if key in row)


def encode_section(result: dict[str, Any]) -> str:
    rows = [
        [
            row["encoder"],
            row["batch_size"],
            row["tokens"],
            f"{1e6 * row['seconds'] / row['tokens']:.2f}",
            f"{1e6 * row['seconds'] / result['words']:.2f}",
            f"{1e6 * row['seconds'] / result['texts']:.1f}",
        ]
        for row in result["rows"]
    ]
    alone = result["projection_alone"]
    columns = ["encoder", "batch", "tokens", "µs/token", "µs/word", "µs/text"]
    return "\n".join(
        [
            "## Texts to arrays: hashed words and subwords\n",
            f"CPU time of encoding and padding {result['texts']} texts "
            f"({result['words']} words between spaces), the fastest of {result['repetitions']} "
            "passes, the cache of words warm.\n",
            table(columns, rows),
            "Cutting into words and projecting them alone take "
            f"{1e6 * alone['seconds'] / alone['tokens']:.2f} µs a token.\n",
            provenance(result["environment"]),
        ]
    )


def bench_section(result: dict[str, Any]) -> str:
    columns = [
        *("model", "engine", "precision", "batch", "tokens", "runs", "p50 ms", "p99 ms"),
        *("texts/s", "RSS MB", "of the model"),
    ]
    rows = [
        [
            row["model"],
            f"{row['runtime']}, {row['provider']}",
            row["precision"],
            *(row[name] for name in ("batch", "length", "runs")),
            *(f"{row[name]:.2f}" for name in ("p50_ms", "p99_ms")),
            *(f"{row[name]:.0f}" for name in ("texts_per_s", "rss_mb", "model_mb")),
        ]
        for row in result["rows"]
    ]
    return "\n".join(
        [
            "## The graphs alone\n",
            "`python -m app bench`: one call at a time on one core, tokens made up, "
            f"{result['seconds']:g} s for each model and engine in a process of its own; RSS is "
            "that of this process, and by how much the model has grown it.\n",
            table(columns, rows),
            provenance(result["environment"]),
        ]
    )


def overload_section(result: dict[str, Any]) -> str:
    rows = [
        [
            row["model"],
            f"{row['level']:g}x",
            row["requests"],
            spread(row["accepted_per_s"], decimals=0),
            *(milliseconds(row[name]) for name in ("p50_ms", "p99_ms")),
            spread(row["p99_ratio"]),
            *(f"{row['shares'][name]:.1%}" for name in ("ok", "refused", "late", "other")),
            row["server_errors"],
            row["without_reply"],
            row["refused_without_retry_after"],
            spread(row["retry_after_s"], decimals=0),
            milliseconds(row["refusals"]["p99_ms"]),
            milliseconds(row["lag"]["p99_ms"]),
            spread(row["generator_cores"]),
        ]
        for row in result["rows"]
    ]
    columns = [
        *("model", "load", "requests", "accepted/s", "p50 ms", "p99 ms", "p99 / p99 at 1x"),
        *("200", "429", "504", "other", "5xx", "no reply", "429 without Retry-After"),
        *("Retry-After s", "429 p99 ms", "lag p99 ms", "generator cores"),
    ]
    capacities = "; ".join(
        f"{row['model']} {spread(row, decimals=0)}" for row in result["capacities"]
    )
    returned = "; ".join(
        f"{row['model']} {row['answered']} of {row['refused']}" for row in result["come_back"]
    )
    return "\n".join(
        [
            "## More requests than can be answered\n",
            f"Capacity, with {result['clients']} closed-loop callers, answers a second, median "
            f"[lowest to highest] of n = {result['n']} repetitions: {capacities}. Then "
            f"{result['seconds']:g} s at each multiple of it, one text a request, Poisson "
            "arrivals; latencies are those of accepted requests from when they were due, and the "
            "lag is how late the generator sent. It shares the cores with the service. 5xx are "
            "those other than 504. The goal is an accepted p99 within 1.5 times that at 1x. "
            "Of those refused last that came back when Retry-After said, were answered: "
            f"{returned}.\n",
            table(columns, rows),
            provenance(result["environment"]),
        ]
    )


def soak_section(result: dict[str, Any]) -> str:
    rows = [
        [check["what"], check["expected"], check["measured"], "yes" if check["equal"] else "NO"]
        for check in result["checks"]
    ]
    memory = {name: f"{value / 1e6:.0f}" for name, value in result["rss_bytes"].items()}
    grown = result["rss_growth"]
    return "\n".join(
        [
            "## Minutes of mixed requests\n",
            f"{result['minutes']:g} minutes, {result['clients']} closed-loop callers, n = "
            f"{result['n']} requests to {', '.join(result['models'])}, under `/v1` and `/v2`; "
            f"{result['accepted_per_s']:.0f} answers/s, p50 {milliseconds(result['p50_ms'])} ms, "
            f"p99 {milliseconds(result['p99_ms'])} ms, without reply {result['without_reply']}. "
            f"RSS {memory['first']} MB at first, {memory['last']} MB at last, "
            f"{memory['highest']} MB at most, n = {result['rss_samples']}; median of the last "
            f"third over that of the first {'' if grown is None else f'{grown:+.1%}'}, goal within "
            f"{result['goal']:.0%}. What a request adds to the metrics is learnt by sending it "
            "alone.\n",
            table(["sum", "sent", "in /metrics", "equal"], rows),
            provenance(result["environment"]),
        ]
    )


def peers_section(result: dict[str, Any]) -> str:
    same = result["same_answers"]
    rows = [
        [
            row["server"],
            row["clients"],
            spread(row["per_s"], decimals=0),
            *(milliseconds(row[name]) for name in ("p50_ms", "p99_ms")),
            row["requests"],
            row["errors"],
            spread(row["cpu_ms"]),
            spread(row["generator_cores"]),
            "" if same[row["server"]] is None else f"{same[row['server']]:.0%}",
        ]
        for row in result["rows"]
    ]
    goals = [
        [
            goal["goal"],
            f"at {goal['at']} {goal['bound']:g}",
            spread(goal["measured"]),
            "yes" if goal["reached"] else "NO",
        ]
        for goal in result["goals"]
    ]
    columns = [
        *("server", "clients", "requests/s", "p50 ms", "p99 ms", "n", "errors"),
        *("server CPU ms/request", "generator cores", "same answers"),
    ]
    versions = {n: number for of in result["versions"].values() for n, number in of.items()}
    left_out = "".join(f"Left out: {name}, {why}.\n" for name, why in result["left_out"].items())
    return "\n".join(
        [
            "## The same model behind other servers\n",
            f"{result['model']}, one of {result['texts']} headlines and sentences a request, two "
            f"threads that run the model, n = {result['n']} starts of each server in turn, "
            f"{result['seconds']:g} s a load; median [lowest to highest], latencies pooled. The "
            "load generator shares the cores. No peer refuses requests, so Loyal's queue may be as "
            "long (`LOYAL_MAX_QUEUE_MS=2000`). Without a server two processes with a thread each "
            f"run {spread(result['ceiling_per_s'], decimals=0)} texts/s in batches of 32, "
            "tokenization included: the ceiling. torch runs the graph's int8 weights scaled back "
            "to fp32, since there are no others. Same answers: texts with the same entities as "
            "from Loyal; batches change int8 answers a little.\n",
            table(columns, rows),
            table(["goal", "bound", "measured", "reached"], goals),
            *([left_out] if left_out else []),
            "Peers: " + ", ".join(f"{n} {number}" for n, number in versions.items()) + ".\n",
            provenance(result["environment"]),
        ]
    )


def startup_section(result: dict[str, Any]) -> str:
    names = {
        "ready": "`/readyz` answers 200",
        "loaded": "all models have loaded",
        "used": f"{result['requests']} requests later",
    }
    rows = [
        [
            names[row["moment"]],
            len(row["models"]),
            spread(row["wall_s"]),
            spread(row["cpu_s"]),
            megabytes(row["rss_bytes"]),
            *(f"{row['limit_bytes'][kind] / 1e6:.0f}" for kind in ("disk", "memory")),
        ]
        for row in result["rows"]
    ]
    columns = ["moment", "models", "s", "CPU s", "RSS MB", "limit MB, disk", "limit MB, memory"]
    return "\n".join(
        [
            "## Start and memory\n",
            f"From exec, n = {result['n']} starts, files in the page cache: median [lowest to "
            f"highest]. The goal is {result['goal_s']:g} s to ready. The limits are "
            f"{result['factor']:g} times the bytes of the models, as graphs on disk or as weights "
            f"in memory, plus {result['base_bytes'] / 1e6:.0f} MB. Requests that failed: "
            f"{result['errors']}.\n",
            table(columns, rows),
            provenance(result["environment"]),
        ]
    )


def trunks_section(result: dict[str, Any]) -> str:
    names = {
        "one": "the one that takes most",
        "together": "all, on one trunk",
        "apart": "all, each with a trunk of its own",
    }
    memory = [
        [
            names[row["way"]],
            row["packages"],
            spread({k: v / 1e6 for k, v in row["bytes"].items()}, decimals=1),
            spread(row["to_one"]),
        ]
        for row in result["memory"]
    ]
    rows = [
        [row["model"], *(spread(row[name]) for name in ("together_ms", "apart_ms", "ratio"))]
        for row in result["rows"]
    ]
    return "\n".join(
        [
            "## Many tasks on one trunk\n",
            f"A trunk of {result['trunk_bytes'] / 1e6:.1f} MB on disk. Memory that a process "
            f"gains by loading, n = {result['n']} processes: median [lowest to highest]. The goal "
            "for five is 1.5 times one.\n",
            table(["loaded", "packages", "RSS MB", "times one"], memory),
            f"CPU time of a text, one thread, {result['rounds']} passes over the golden examples "
            "in turns: median [lowest to highest]. The goal is a ratio of 1.1.\n",
            table(["model", "on one trunk, ms", "apart, ms", "ratio"], rows),
            provenance(result["environment"]),
        ]
    )


def long_requests_section(result: dict[str, Any]) -> str:
    rows = [
        [
            load,
            sum(run[f"n_{load}"] for run in result["runs"]),
            *(spread(result[f"{name}_{load}_ms"]) for name in ("p50", "p95")),
        ]
        for load in ("alone", "beside")
    ]
    return "\n".join(
        [
            f"## Short requests beside a long one: `POST /v1/{result['task']}`\n",
            "One caller sends sentences back to back, alone and beside another that sends requests "
            f"of {result['characters']} characters; {result['repetitions']} runs of both, median "
            "[lowest to highest].\n",
            table(["short requests", "n", "p50 ms", "p95 ms"], rows),
            f"p95 beside over p95 alone: {spread(result['ratio_p95'])}. A long request took "
            f"{spread(result['long_s'])} s (n = {sum(run['n_long'] for run in result['runs'])}). "
            f"Errors: {sum(run['errors'] for run in result['runs'])}.\n",
            provenance(result["environment"]),
        ]
    )
