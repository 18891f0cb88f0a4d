"""The service as a process: start, signals, exit codes, a real client."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from app import loading
from app.__main__ import main
from app.keys import key_line
from app.settings import Settings
from app.tasks import TASKS
from tests.app.process import EXIT_TIMEOUT_S, ROOT, command, environment, running
from tests.app.task_inputs import given
from tests.tiny_package import MAX_TOKENS, build, edit_json, write_aliases

TEXT = "Maria Ionescu merge la București."

pytestmark = pytest.mark.e2e


def test_hugging_face_client_works_unchanged(store: Path) -> None:
    with running(store) as process:
        client = InferenceClient(model=f"{process.url}/v1/ner")

        entities = client.token_classification(TEXT)
        words = client.token_classification(TEXT, aggregation_strategy="none", ignore_labels=["O"])
        with pytest.raises(HfHubHTTPError, match="an input is empty"):
            client.token_classification("")

    assert [(e.entity_group, e.word, e.start, e.end) for e in entities] == [
        ("PERSON", "Maria Ionescu", 0, 13),
        ("GPE", "București", 23, 32),
    ]
    assert [word.word for word in words] == ["Maria", "Ionescu", "București"]


def test_hugging_face_client_asks_questions_unchanged(tmp_path: Path) -> None:
    build(tmp_path, task="qa")
    write_aliases(tmp_path, task="qa", default="tiny")
    context = "merge " * 500 + TEXT

    with running(tmp_path) as process:
        client = InferenceClient(model=f"{process.url}/v1/qa")

        best = client.question_answering(question="Cine merge?", context=context)
        several = client.question_answering(
            question="Unde merge?",
            context=context,
            top_k=2,
            doc_stride=3,
            max_answer_len=5,
            max_seq_len=384,
            max_question_len=64,
            handle_impossible_answer=True,
            align_to_words=True,
        )
        with pytest.raises(HfHubHTTPError, match="a context is empty"):
            client.question_answering(question="Cine merge?", context="")

    assert (best.answer, best.start, best.end) == ("Maria Ionescu", 3000, 3013)
    assert [answer.answer for answer in several] == ["București", ""]


def test_output_is_json_lines_and_exit_is_clean(store: Path) -> None:
    with running(store) as process:
        httpx.get(f"{process.url}/readyz").raise_for_status()
        process.popen.send_signal(signal.SIGTERM)

        assert process.popen.wait(EXIT_TIMEOUT_S) == 0

    events = ["listening", "model_ready", "request", "draining", "stopped"]
    assert process.events() == events


def test_interrupt_from_the_keyboard_does_not_wait_for_the_drain_delay(store: Path) -> None:
    with running(store, drain_delay_s=600) as process:
        process.popen.send_signal(signal.SIGINT)

        assert process.popen.wait(EXIT_TIMEOUT_S) == 0


def test_no_request_is_lost_when_the_service_is_told_to_stop(tasks_store: Path) -> None:
    """A client of each task sends until an answer tells it to go elsewhere, as proxies do."""
    statuses: list[int] = []
    failures: list[Exception] = []

    def send_until_told_to_close(url: str, task: str) -> None:
        with httpx.Client(timeout=EXIT_TIMEOUT_S) as client:
            while True:
                try:
                    response = client.post(
                        f"{url}/v1/{task}", json={"inputs": [given(task, TEXT)] * 4}
                    )
                except httpx.HTTPError as error:
                    failures.append(error)
                    return
                statuses.append(response.status_code)
                if response.headers.get("Connection") == "close":
                    return

    with running(tasks_store, drain_delay_s=1) as process:
        process.wait_until_loaded()
        clients = [
            threading.Thread(target=send_until_told_to_close, args=[process.url, task])
            for task in TASKS
        ]
        for client in clients:
            client.start()
        while len(statuses) < 40 and not failures:
            clients[0].join(0.01)
        process.popen.send_signal(signal.SIGTERM)
        for client in clients:
            client.join()
        exit_code = process.popen.wait(EXIT_TIMEOUT_S)

    assert failures == []
    assert set(statuses) == {200}
    assert exit_code == 0


def test_client_that_hangs_up_is_not_worked_for_any_longer(tmp_path: Path) -> None:
    """It asks for more windows than words / MAX_TOKENS and waits for none of them."""
    words = 18_000
    build(tmp_path, task="qa")
    write_aliases(tmp_path, task="qa", default="tiny")
    question = {"question": "Cine merge?", "context": "Ion merge " * (words // 2)}
    body = json.dumps({"inputs": question}).encode()
    head = f"POST /v1/qa HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"

    with running(tmp_path) as process:
        port = httpx.URL(process.url).port
        with socket.create_connection(("127.0.0.1", port or 0)) as connection:
            connection.sendall(head.encode() + body)
        while "loyal_requests_total{" not in (metrics := httpx.get(f"{process.url}/metrics").text):
            pass

    assert 'code="499"' in metrics
    assert 'loyal_queue_items{model="tiny",task="qa",version="1"} 0.0' in metrics
    [windows] = re.findall(r"^loyal_batch_items_sum{.*} (.*)$", metrics, re.MULTILINE)
    assert float(windows) < words / MAX_TOKENS


def test_draining_service_reports_not_ready_before_it_stops(store: Path) -> None:
    with running(store, drain_delay_s=600) as process:
        process.popen.send_signal(signal.SIGTERM)
        while "draining" not in process.events():
            httpx.get(f"{process.url}/livez").raise_for_status()

        ready = httpx.get(f"{process.url}/readyz")
        answer = httpx.post(f"{process.url}/v1/ner", json={"inputs": TEXT})
        process.popen.send_signal(signal.SIGTERM)

        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert answer.status_code == 200
        assert process.popen.wait(EXIT_TIMEOUT_S) == 0


def test_both_listeners_end_together_after_what_they_accepted(store: Path) -> None:
    with running(store, admin_port=0, drain_delay_s=600) as process:
        listening = process.line("listening")
        admin_url = f"http://127.0.0.1:{listening['admin_port']}"
        metrics = httpx.get(f"{admin_url}/metrics")
        process.popen.send_signal(signal.SIGTERM)
        while "draining" not in process.events():
            httpx.get(f"{admin_url}/livez").raise_for_status()
        ready = httpx.get(f"{admin_url}/readyz")
        answer = httpx.post(f"{process.url}/v1/ner", json={"inputs": TEXT})
        process.popen.send_signal(signal.SIGTERM)
        exit_code = process.popen.wait(EXIT_TIMEOUT_S)

    assert listening["port"] != listening["admin_port"]
    assert metrics.status_code == 200
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")
    assert (answer.status_code, exit_code) == (200, 0)
    for url in (process.url, admin_url):
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/livez")


def test_keys_rotate_while_serving(store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(key_line("alice", "a-long-secret-of-alice"))

    def status(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.get(f"{process.url}/v1/models", headers=headers).status_code

    with running(store, api_keys_file=keys) as process:
        before = status("a-long-secret-of-alice")
        keys.write_text(key_line("alice", "a-new-secret-of-alice"))
        while status("a-new-secret-of-alice") != 200:
            assert process.popen.poll() is None
        after = status("a-long-secret-of-alice")
        client = InferenceClient(model=f"{process.url}/v1/ner", token="a-new-secret-of-alice")
        [person, _] = client.token_classification(TEXT)

    assert (before, after) == (200, 401)
    assert person.word == "Maria Ionescu"


@pytest.mark.parametrize(
    ("host", "keys", "is_warned"),
    [("127.0.0.1", False, False), ("0.0.0.0", False, True), ("0.0.0.0", True, False)],
)
def test_service_without_keys_warns_when_others_can_reach_it(
    store: Path, tmp_path: Path, host: str, keys: bool, is_warned: bool
) -> None:
    (tmp_path / "keys").write_text(key_line("alice", "a-long-secret-of-alice"))
    settings = {"api_keys_file": tmp_path / "keys"} if keys else {}

    with running(store, host=host, **settings) as process:
        pass

    assert ("no_api_keys" in process.events()) == is_warned


def test_print_config_shows_what_holds_and_serves_nothing() -> None:
    result = command(
        "serve", "--print-config", "--port", 9001, port=9000, threads=3, cors_origins="http://a,*"
    )

    config = json.loads(result.stdout)
    assert result.returncode == 0
    assert (config["LOYAL_PORT"], config["LOYAL_THREADS"]) == (9001, 3)
    assert config["LOYAL_CORS_ORIGINS"] == ["http://a", "*"]
    assert config.keys() == {f"LOYAL_{name.upper()}" for name in Settings.model_fields}


def test_port_in_use_is_one_clear_line(store: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("serve", "--port", port, model_store=store)

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: cannot listen on 127.0.0.1 port {port}: Address already in use")


def test_missing_store_is_one_clear_line(tmp_path: Path) -> None:
    result = command("serve", model_store=tmp_path / "nowhere", port=0)

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "nowhere is missing; set LOYAL_MODEL_STORE" in line


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_gpu_without_its_wheel_is_one_clear_line(store: Path, provider: str) -> None:
    result = command("serve", model_store=store, port=0, provider=provider)

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: LOYAL_PROVIDER is {provider}, but this onnxruntime has no CUDA")


@pytest.mark.parametrize(
    ("arguments", "make", "named"),
    [
        (["serve", "--port", 0], lambda path: path.mkdir(), "has no package <task>/<model>"),
        (["serve", "--port", 0], lambda path: path.write_text(""), "is a file, not a folder"),
        (["check"], lambda path: (path / "cron.d").mkdir(parents=True), "has no package"),
        (["bench"], lambda path: (path / "ner/tiny").mkdir(parents=True), "has no package"),
    ],
    ids=["nothing mounted", "a file", "another folder", "a model without versions"],
)
def test_wrong_mount_is_one_clear_line(
    tmp_path: Path, arguments: list[object], make: Callable[[Path], object], named: str
) -> None:
    make(tmp_path / "models")

    result = command(*arguments, model_store=tmp_path / "models")

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("error: model store ")
    assert named in line


def test_missing_key_file_is_one_clear_line(store: Path) -> None:
    result = command("serve", model_store=store, port=0, api_keys_file="nowhere")

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "key file nowhere: cannot be read" in line


def test_missing_engine_is_one_clear_line(store: Path) -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None; "
        "from app.__main__ import main; sys.exit(main(['serve', '--port', '0']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(model_store=store),
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "pip install --constraint constraints.txt '.[cpu]'" in line


@pytest.mark.parametrize(
    ("arguments", "settings", "mentioned"),
    [
        (["serve"], {"prot": 1}, "LOYAL_PROT is not a setting; known are LOYAL_ADMIN_HOST"),
        (["serve"], {"port": "http"}, "LOYAL_PORT: input should be a valid integer"),
        (["serve"], {"port": 70000}, "LOYAL_PORT: input should be less than or equal to 65535"),
        (["serve", "--port", "-1"], {}, "--port: input should be greater than or equal to 0"),
        (
            ["serve"],
            {"provider": "tpu"},
            "LOYAL_PROVIDER: input should be 'auto', 'cpu', 'cuda'",
        ),
        (["check"], {"threads": -1}, "LOYAL_THREADS"),
        (["serve"], {"cors_origins": "shop.example"}, "LOYAL_CORS_ORIGINS"),
        (["serve"], {"cors_origins": "https://*.example"}, "LOYAL_CORS_ORIGINS"),
        (["serve"], {"port": 9, "admin_port": 9}, "LOYAL_ADMIN_PORT must differ from LOYAL_PORT"),
    ],
)
def test_wrong_setting_is_one_clear_line_and_exit_code_2(
    arguments: list[str], settings: dict[str, object], mentioned: str
) -> None:
    result = command(*arguments, **settings)

    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert mentioned in line


@pytest.mark.parametrize("arguments", [[], ["train"], ["serve", "--color"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert command(*arguments).returncode == 2


def test_check_reports_each_package_and_fails_if_one_does(store: Path) -> None:
    edit_json(build(store, model="faulty") / "manifest.json", contract_version=99)

    result = command("check", "--model-store", store)

    faulty, sound = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1
    assert (faulty["package"], faulty["ok"]) == ("ner/faulty/1", False)
    assert "contract_version is 99" in faulty["reason"]
    assert (sound["package"], sound["ok"]) == ("ner/tiny:1", True)


def test_check_goes_on_after_a_package_that_fails_unexpectedly(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build(store, model="odd")
    load = loading.load_package

    def load_package(path: Path, *args: object, **kwargs: object) -> object:
        if "odd" in path.parts:
            raise RuntimeError("boom")
        return load(path, *args, **kwargs)

    monkeypatch.setattr(loading, "load_package", load_package)

    code = main(["check", "--model-store", str(store)])

    odd, sound = map(json.loads, capsys.readouterr().out.splitlines())
    assert (code, odd["ok"], sound["ok"]) == (1, False, True)
    assert "unexpected RuntimeError" in odd["reason"]


def test_check_takes_single_packages(store: Path) -> None:
    result = command("check", store / "ner" / "tiny" / "1")

    assert result.returncode == 0
    assert json.loads(result.stdout)["ok"]


def test_broken_default_does_not_end_the_service(store: Path) -> None:
    build(store, model="sound")
    write_aliases(store, default="gone")

    with running(store) as process:
        ready = httpx.get(f"{process.url}/readyz")
        answer = httpx.post(f"{process.url}/v1/ner", json={"inputs": "Ion", "model": "sound"})

    assert (ready.status_code, answer.status_code) == (503, 200)
