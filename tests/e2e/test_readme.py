"""What README.md shows is what the service answers.

A fenced block is run if the line before it is `<!-- run -->`, against the committed models, or
`<!-- run tiny -->`, against tiny models of all tasks. If the next fenced block is JSON, it is the
expected reply.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.tasks import TASKS
from tests.app.process import ROOT, running
from tests.app.task_inputs import given

STORE = ROOT / "model_store"
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"(?:<!-- run ?(\w*) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = "<!-- run"
DEFAULT_ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost):8000\b")
SCORE_TOLERANCE = 0.05
"""Integer kernels round differently from one processor to the next."""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


@dataclass(frozen=True, slots=True)
class Example:
    """A block to run.

    Attributes:
        store: whose models answer.
        language: `bash` or `python`.
        code: what to run.
        reply: expected JSON; None if README.md shows none.
    """

    store: str
    language: str
    code: str
    reply: object


def examples() -> list[Example]:
    blocks = list(FENCE.finditer(TEXT))
    return [
        Example(
            block[1] or "committed",
            block[2],
            block[3],
            json.loads(following[3]) if following and following[2] == "json" else None,
        )
        for block, following in zip(blocks, [*blocks[1:], None], strict=True)
        if block[0].startswith(RUN)
    ]


def rows() -> dict[str, tuple[list[str], list[str]]]:
    """What the table of tasks shows as code: inputs and replies, by task."""
    table = TEXT.split("| one of `inputs` |")[1].split("\n\n")[0]
    lines = [line.split("|")[1:4] for line in table.splitlines()[2:]]
    return {
        task: (re.findall("`([^`]+)`", inputs), re.findall("`([^`]+)`", reply))
        for names, inputs, reply in lines
        for task in re.findall(r"`(\w+)`", names)
    }


@pytest.fixture(scope="module")
def addresses(tasks_store: Path) -> Iterator[dict[str, str]]:
    """Host and port of the services, by store."""
    with running(STORE) as committed, running(tasks_store) as tiny:
        services = {"committed": committed, "tiny": tiny}
        for service in services.values():
            service.wait_until_loaded()
        yield {store: service.url.removeprefix("http://") for store, service in services.items()}


def with_tolerance(value: object) -> object:
    """The same JSON value, equal to any whose scores, the only fractions in a reply, are close."""
    match value:
        case dict():
            return {key: with_tolerance(item) for key, item in value.items()}
        case list():
            return [with_tolerance(item) for item in value]
        case float():
            return pytest.approx(value, abs=SCORE_TOLERANCE)
    return value


def keys(value: object) -> object:
    """Of a reply the names in it, without how many items a list has."""
    match value:
        case dict():
            return {key: keys(item) for key, item in value.items()}
        case list():
            return [keys(value[0])] if value else []
    return None


def test_readme_has_commands_to_run() -> None:
    assert {(example.store, example.language) for example in examples()} == {
        ("committed", "bash"),
        ("committed", "python"),
        ("tiny", "python"),
    }


@pytest.mark.parametrize("example", examples(), ids=lambda e: e.code.split("\n")[0])
def test_readme_command_answers_as_shown(
    example: Example, addresses: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".curlrc").write_text("fail-with-body\nshow-error\n")
    shells = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    code = DEFAULT_ADDRESS.sub(addresses[example.store], example.code)

    finished = subprocess.run(
        [*shells[example.language], code],
        cwd=ROOT,
        env=os.environ | {"CURL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr + finished.stdout
    if example.reply is not None:
        assert json.loads(finished.stdout) == with_tolerance(example.reply)


@pytest.mark.parametrize("task", TASKS)
def test_inputs_and_reply_in_the_table_of_tasks_are_those_of_the_service(
    task: str, addresses: dict[str, str]
) -> None:
    inputs, [shown, *_] = rows()[task]
    reply = json.loads(shown.replace(", ...]", "]"))
    url = f"http://{addresses['tiny']}/v1/{task}"

    answers = [
        httpx.post(url, json={"inputs": json.loads(one)}).raise_for_status() for one in inputs
    ]
    sample = httpx.post(url, json={"inputs": given(task, "trezește Maria mâine la Iași")})

    assert len(answers) == {"sts": 2, "qa": 1}.get(task, 0)
    TASKS[task].reply.validate_json(json.dumps(reply))
    assert keys(reply) == keys(sample.raise_for_status().json())
