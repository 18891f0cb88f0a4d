"""docker/serve.Dockerfile, carried out step by step in a Debian root, and the service in it."""

import json
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import pytest

from loadtests.servers import free_port
from tests.app.process import EXIT_TIMEOUT_S
from tests.deploy.chroots import Image, inner_process
from tests.deploy.conftest import ENTITIES, STORE, TEXT

MAX_BYTES = 600_000_000
READY_TIMEOUT_S = 120.0

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]


@dataclass(frozen=True, slots=True)
class Service:
    """The service of the image; `process` is process 1 of its namespace."""

    url: str
    port: int
    process: psutil.Process


@pytest.fixture(scope="module")
def service(image: Image) -> Iterator[Service]:
    port = free_port()
    settings = {"host": "127.0.0.1", "port": port, "threads": 1}
    with image.serving(store=STORE, **settings) as popen:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url)
        yield Service(url, port, inner_process(popen))


def wait_until_ready(url: str) -> None:
    """Until the defaults of all tasks serve; one model being ready is not enough."""
    until = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=EXIT_TIMEOUT_S).is_success:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{url}/readyz did not answer 200 within {READY_TIMEOUT_S} s")


def status(process: psutil.Process) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def refused_start(
    image: Image, *, store: Path | None = STORE, **settings: object
) -> tuple[int, str]:
    """Exit code, and the only line on standard error, of a start that fails."""
    settings = {"host": "127.0.0.1", "port": 0} | settings
    with image.serving(store=store, **settings) as popen:
        _, errors = popen.communicate(timeout=EXIT_TIMEOUT_S)
    [line] = errors.splitlines()
    return popen.returncode, line


def test_service_answers_from_a_read_only_root(service: Service) -> None:
    answer = httpx.post(f"{service.url}/v1/ner", json={"inputs": TEXT}, timeout=EXIT_TIMEOUT_S)

    assert [(one["entity_group"], one["word"]) for one in answer.json()] == ENTITIES
    mounts = Path(f"/proc/{service.process.pid}/mountinfo").read_text()
    options = dict(re.findall(r"^\d+ \d+ \S+ \S+ (\S+) (\S+)", mounts, re.MULTILINE))
    assert {point: options[point].split(",")[0] for point in ("/", "/models", "/tmp")} == {
        "/": "ro",
        "/models": "ro",
        "/tmp": "rw",
    }


def test_service_runs_without_privileges(service: Service) -> None:
    found = status(service.process)

    assert found["Uid"].split() == found["Gid"].split() == ["10001"] * 4
    assert found["NoNewPrivs"] == "1"
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {"0" * 16}


def test_entrypoint_leaves_no_shell_in_between(service: Service) -> None:
    assert status(service.process)["NSpid"].split()[-1] == "1"
    assert service.process.cmdline() == ["python", "-m", "app", "serve"]


def test_health_check_of_the_image_says_whether_the_service_is_ready(
    image: Image, service: Service
) -> None:
    health = image.stage.last("HEALTHCHECK")
    assert health
    _, _, command = health.value.partition("CMD ")
    script = " ".join(json.loads(command))

    while_ready = image.run(f"LOYAL_PORT={service.port} {script}")
    without = image.run(f"LOYAL_PORT={free_port()} {script}")

    assert (while_ready.returncode, without.returncode) == (0, 1)
    assert without.stderr.startswith("not ready: ")


def test_signal_to_stop_reaches_the_service_as_process_1(image: Image) -> None:
    settings = {"host": "127.0.0.1", "port": 0, "threads": 1, "drain_delay_s": 0}
    with image.serving(store=STORE, **settings) as popen:
        assert popen.stdout
        for line in popen.stdout:
            if json.loads(line)["event"] == "model_ready":
                break
        inner_process(popen).send_signal(signal.SIGTERM)
        output, _ = popen.communicate(timeout=EXIT_TIMEOUT_S)

    assert popen.returncode == 0
    assert json.loads(output.splitlines()[-1])["event"] == "stopped"


def test_image_is_small(image: Image) -> None:
    size = image.size_bytes()

    print(f"{size / 1e6:.0f} MB")  # noqa: T201 - shown with -s; README.md quotes it
    assert size < MAX_BYTES


@pytest.mark.parametrize("intruder", ["torch.py", "gcc", "clang", "pip"])
def test_build_fails_if_torch_or_a_compiler_or_an_installer_is_there(
    image: Image, intruder: str
) -> None:
    """The last RUN, once more as root; it makes /models first."""
    last = image.stage.last("RUN")
    assert last
    as_root = replace(image, user="")
    [site] = image.root.glob("opt/loyal/lib/python3*/site-packages")
    planted = (site if intruder.endswith(".py") else image.root / "usr/local/bin") / intruder
    (image.root / "models").rmdir()
    sound = as_root.run(last.value)
    (image.root / "models").rmdir()
    planted.touch(mode=0o755)

    failed = as_root.run(last.value)

    planted.unlink()
    assert (sound.returncode, failed.returncode) == (0, 1)


def test_no_compiler_and_no_installer_is_in_the_image(image: Image) -> None:
    tools = "for tool in cc gcc clang ld make pip pip3; do command -v $tool; done"
    found = image.run(f"{tools}; python -m pip --version")

    assert found.stdout == ""


def test_image_has_no_model(image: Image) -> None:
    assert list((image.root / "models").iterdir()) == []
    assert list(image.root.glob("**/golden.json")) == []


def test_missing_mount_is_one_clear_line(image: Image) -> None:
    code, line = refused_start(image, store=None)

    assert code == 1
    assert "model store /models has no package <task>/<model>/<version>" in line


def test_wrong_mount_is_one_clear_line(image: Image) -> None:
    """The folder of a task instead of the store."""
    code, line = refused_start(image, store=STORE / "ner")

    assert code == 1
    assert "model store /models has no package <task>/<model>/<version>" in line


def test_file_for_a_store_is_one_clear_line(image: Image) -> None:
    code, line = refused_start(image, model_store="/opt/loyal/healthcheck.py")

    assert code == 1
    assert "is a file, not a folder; set LOYAL_MODEL_STORE" in line


@pytest.mark.parametrize(
    ("closed", "model_store"), [("", "/models"), ("ner", "/models"), ("", "/models/ner")]
)
def test_store_that_the_user_may_not_read_is_one_clear_line(
    image: Image, tmp_path: Path, closed: str, model_store: str
) -> None:
    store = Path(shutil.copytree(STORE, tmp_path / "store"))
    store.chmod(0o755)
    (store / closed).chmod(0o700)

    code, line = refused_start(image, store=store, model_store=model_store)

    assert code == 1
    assert f"model store {model_store} is not readable: Permission denied: /models/" in line
    assert "chmod -R a+rX" in line


def test_taken_port_is_one_clear_line(image: Image) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        code, line = refused_start(image, port=taken.getsockname()[1])

    assert code == 1
    assert "Address already in use" in line
    assert "choose another with LOYAL_HOST and LOYAL_PORT" in line


def test_misspelt_setting_is_one_clear_line(image: Image) -> None:
    code, line = refused_start(image, prot=8000)

    assert code == 2
    assert "LOYAL_PROT is not a setting" in line


def test_gpu_that_this_image_cannot_use_is_one_clear_line(image: Image) -> None:
    code, line = refused_start(image, provider="cuda")

    assert code == 1
    assert "LOYAL_PROVIDER is cuda, but this onnxruntime has no CUDA provider" in line
