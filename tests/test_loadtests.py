"""The parts of the benchmarks that need neither a service nor a clock."""

import asyncio
import math
import random
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bench import Row
from loadtests.bench_encode import default_package
from loadtests.clients import Load, Sample, arrivals, closed_loop, open_loop
from loadtests.connection import Malformed, post, take_reply
from loadtests.contenders import find_contenders
from loadtests.exposition import total, totals
from loadtests.figures import (
    differences,
    growth,
    percentiles_ms,
    ratio_interval,
    ratios,
    shares,
    spread,
)
from loadtests.inputs import draw, inputs_of, v1, v2, words
from loadtests.replies import fault
from loadtests.sections import bench_section, live_loyalty

STORE = Path(__file__).parents[1] / "model_store"
TASKS = ("ner", "tagging", "parse", "sentiment", "dialect", "sts", "qa")


def test_percentiles_are_in_milliseconds() -> None:
    figures = percentiles_ms([n / 1000 for n in range(1, 102)])

    assert figures == {"p50_ms": 51.0, "p95_ms": 96.0, "p99_ms": pytest.approx(100.0)}


def test_percentiles_of_nothing_are_none() -> None:
    assert set(percentiles_ms([]).values()) == {None}


def test_ratios_pair_repetitions() -> None:
    assert ratios([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}


def test_ratios_to_nothing_are_none() -> None:
    assert ratios([1.0, 2.0], [1.0, 0.0]) is None


def test_encoding_is_measured_on_a_package_of_the_store() -> None:
    assert (default_package(STORE / "ner") / "tokenizer.json").is_file()


@given(st.lists(st.floats(1, 1e9), min_size=1))
def test_spread_is_ordered(values: list[float]) -> None:
    found = spread(values)

    assert found["low"] <= found["median"] <= found["high"]


@given(st.lists(st.sampled_from([0, 200, 422, 429, 500, 504]), min_size=1))
def test_shares_add_up(statuses: list[int]) -> None:
    assert sum(shares(statuses).values()) == pytest.approx(1)


def test_no_reply_and_server_errors_are_other() -> None:
    assert shares([0, 500, 503, 200]) == {"ok": 0.25, "refused": 0, "late": 0, "other": 0.75}


def test_growth_compares_outer_thirds() -> None:
    assert growth([10, 10, 10, 99, 99, 99, 11, 11, 11]) == pytest.approx(0.1)


def test_growth_wants_three_values() -> None:
    with pytest.raises(ValueError, match="got 2"):
        growth([1, 2])


def test_new_counters_grew_from_nothing() -> None:
    assert differences({"a": 5, "b": 2}, {"a": 3}) == {"a": 2, "b": 2}


def test_arrivals_are_a_poisson_process() -> None:
    times = arrivals(50, 200, seed=7)

    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert times == sorted(times)
    assert times[-1] < 200
    assert mean == pytest.approx(1 / 50, rel=0.05)
    assert deviation == pytest.approx(mean, rel=0.05)  # as in an exponential distribution


def test_arrivals_repeat_with_their_seed() -> None:
    assert arrivals(5, 10, seed=1) == arrivals(5, 10, seed=1) != arrivals(5, 10, seed=2)


def test_latency_counts_from_when_a_request_was_due() -> None:
    assert Sample(due_s=1.0, sent_s=3.0, done_s=4.0, status=200).seconds == 3.0


def test_rate_counts_answers_only() -> None:
    samples = [Sample(0, 0, 1, status) for status in (200, 429, 200, 0)]

    assert Load(samples, seconds=4, generator_cores=0).accepted_per_s == 0.5


def test_samples_are_summed_by_label() -> None:
    text = 'a_total{x="1",y="2"} 3.0\na_total{x="2",y="2"} 4.0\na_total_more{y="2"} 9.0\nb 1.0'

    assert totals(text, "a_total", by="x") == {"1": 3.0, "2": 4.0}
    assert total(text, "a_total") == 7.0
    assert total(text, "b") == 1.0


PLAIN = b"HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}"
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize("wire", [PLAIN, CHUNKS], ids=["length", "chunks"])
def test_reply_is_complete_with_its_last_byte(wire: bytes) -> None:
    assert all(take_reply(wire[:end]) is None for end in range(len(wire)))
    taken = take_reply(wire + b"HTTP/1.1 200")

    assert taken is not None
    assert taken[1] == b"HTTP/1.1 200"
    assert taken[0].status == int(wire[9:12])


def test_headers_are_found_in_any_case() -> None:
    taken = take_reply(PLAIN)

    assert taken is not None
    assert taken[0].header("retry-after") == "3"
    assert taken[0].header("x-model") is None


@pytest.mark.parametrize("wire", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_reply_without_an_end_is_malformed(wire: bytes) -> None:
    with pytest.raises(Malformed):
        take_reply(wire)


@pytest.mark.parametrize("task", TASKS)
def test_requests_of_both_protocols_say_the_length_of_their_body(task: str) -> None:
    for make in (v1, v2):
        head, _, body = make(task, inputs_of(task)[0], model="teacher").partition(b"\r\n\r\n")
        assert head.endswith(b"content-length: %d" % len(body))


def run(load: str, replies: list[bytes]) -> Load:
    """Load a server that answers every request with the next reply; at an empty one it hangs up."""
    left = iter(replies)
    callers: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(asyncio.current_task())
        with suppress(ConnectionError):
            while await reader.read(65536) and (reply := next(left)):
                writer.write(reply)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def main() -> Load:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        requests = iter([post("/", b"{}")] * len(replies))
        try:
            if load == "closed":
                return await closed_loop(port, requests, clients=1)
            return await open_loop(port, requests, times_s=[0.0] * len(replies))
        finally:
            server.close()
            await asyncio.gather(*filter(None, callers))

    return asyncio.run(main())


@pytest.mark.parametrize("load", ["closed", "open"])
def test_every_request_is_a_sample_with_its_status(load: str) -> None:
    ok = PLAIN.replace(b"429", b"200")
    refused = PLAIN.replace(b": 3", b": 0")

    samples = run(load, [ok, refused, b"", ok]).samples

    assert sorted(sample.status for sample in samples) == [0, 200, 200, 429]
    assert {s.retry_after_s for s in samples if s.status == 429} == {0}


def test_ratio_has_students_interval_over_repetitions() -> None:
    """ln 2 and ln 8 have mean ln 4 and standard deviation ln 4 / sqrt 2; t is 12.71."""
    found = ratio_interval([2.0, 8.0], [1.0, 1.0])

    assert found["ratio"] == pytest.approx(4)
    assert found["high"] == pytest.approx(4 * 4 ** (12.71 / 2))
    assert found["low"] == pytest.approx(4 / 4 ** (12.71 / 2))
    assert found["n"] == 2


def test_ratio_of_one_repetition_has_no_interval() -> None:
    assert ratio_interval([3.0], [2.0]) == {"ratio": 1.5, "low": None, "high": None, "n": 1}


def test_ratio_to_what_measured_nothing_is_none() -> None:
    assert ratio_interval([1.0, math.nan], [0.0, 1.0])["ratio"] is None


@pytest.mark.parametrize("task", TASKS)
def test_inputs_of_every_task_come_in_several_lengths(task: str) -> None:
    chooser = random.Random(1)

    lengths = sorted(words(draw(task, chooser)) for _ in range(500))

    assert lengths[450] > 1.5 * lengths[50]


def model(name: str, **fields: object) -> dict[str, object]:
    facts = {"model": name, "version": 1, "state": "ready", "aliases": [], "teacher": None}
    return facts | {"reason": None, "loyalty": None} | fields


def test_contenders_are_the_teacher_and_the_newest_of_each_student() -> None:
    models = [
        model("big", aliases=["teacher"]),
        model("small", teacher="ner/big:1"),
        model("small", version=10, teacher="ner/big:1"),
        model("other-big"),
        model("other-small", teacher="ner/other-big"),
        model("tiny", aliases=["default"]),
        model("broken", state="failed", teacher="ner/big:1", reason="a fault"),
    ]

    [found], skipped = find_contenders({"tasks": [{"task": "ner", "models": models}]}, ["ner"])

    assert found.models == ("big:1", "small:10", "tiny:1")
    assert skipped == {}


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ([], "the store has no model of it"),
        ([model("a", aliases=["default"])], "no teacher is in service"),
        ([model("a", aliases=["teacher"])], "no student is in service"),
        (
            [model("a", aliases=["teacher"], state="failed", reason="model.onnx is missing")],
            "no teacher is in service (model.onnx is missing)",
        ),
    ],
)
def test_task_without_teacher_or_student_is_left_out_with_the_reason(
    models: list[dict[str, object]], reason: str
) -> None:
    assert find_contenders({"tasks": [{"task": "qa", "models": models}]}, ["qa"]) == (
        [],
        {"qa": reason},
    )


@pytest.mark.parametrize(
    ("task", "answer", "problem"),
    [
        ("ner", None, "not a list"),
        ("ner", [], "not a list"),
        ("ner", [[{"start": 0, "end": 9, "word": "Ion merge"}]], None),
        ("ner", [[{"start": 0, "end": 99, "word": "Ion"}]], "out of order or bounds"),
        ("tagging", [[{"start": 0, "end": 3, "word": "Ana"}]], "not that part"),
        ("tagging", [[{"begin": 0}]], "not as documented"),
        ("sentiment", [[{"label": "a", "score": 0.2}, {"label": "b", "score": 0.8}]], "not sorted"),
        ("dialect", [[]], "missing"),
        ("sts", [[1.5]], "not in"),
        ("parse", [{"intent": {"label": "IN:A"}, "slots": [], "tree": "[IN:B ]"}], "begin with"),
    ],
)
def test_reply_that_is_not_as_documented_is_a_fault(
    task: str, answer: object, problem: str | None
) -> None:
    found = fault(task, ["Ion merge"], answer)

    assert (found is None) if problem is None else problem in (found or "")


def test_answer_is_part_of_its_context() -> None:
    asked = {"question": "Cine?", "context": "Ion merge"}

    assert fault("qa", [asked], [{"answer": "Ion", "start": 0, "end": 3}]) is None
    assert fault("qa", [asked], [{"answer": "Ion", "start": 1, "end": 4}])


def test_report_shows_what_bench_prints() -> None:
    row = Row("ner/a:1", "onnxruntime", "CPU", "int8", 32, 128, 9, 1.5, 2.25, 666.7, 90.0, 10.0)
    environment = {"cpu": "", "cores": 2, "os": "", "python": "", "packages": {}, "commit": ""}
    about = environment | {"date": "", "command": ""}

    text = bench_section({"seconds": 4.0, "rows": [asdict(row)], "environment": about})

    assert "| onnxruntime, CPU | int8 | 32 | 128 | 9 | 1.50 | 2.25 | 667 | 90 | 10 |" in text


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"n": 61, "label_ratio": 0.953}, "labels 0.953"),
        ({"n": 40, "regression_mae": 0.0123}, "mean distance 0.012"),
        (
            {"n": 0, "reason": "the teacher compared nothing in time"},
            "the teacher compared nothing",
        ),
    ],
)
def test_report_shows_loyalty_or_why_there_is_none(row: dict[str, object], shown: str) -> None:
    assert live_loyalty(row).startswith(shown)
