"""Key files and the command that writes their lines."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from app.errors import StartupError
from app.keys import CHECK_INTERVAL_S, KeyFile, key_line, new_secret, parse_keys
from tests.app.process import command

ALICE, BOB = "a-long-secret-of-alice", "a-long-secret-of-bob"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(f"# clients\n\n{key_line('alice', ALICE)}\n  {key_line('bob', BOB)}\n")
    return path


def let_time_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * CHECK_INTERVAL_S)


def test_key_is_found_by_its_hash_and_named(path: Path) -> None:
    keys = KeyFile(path)

    assert keys.owner_of(ALICE.encode()) == "alice"
    assert keys.owner_of(BOB.encode()) == "bob"
    assert ALICE not in path.read_text()


@pytest.mark.parametrize("secret", ["", "alice", ALICE[:-1], ALICE + "x", ALICE.upper()])
def test_other_key_is_unknown(path: Path, secret: str) -> None:
    assert KeyFile(path).owner_of(secret.encode()) is None


def test_hash_itself_is_no_key(path: Path) -> None:
    digest = hashlib.sha256(ALICE.encode()).hexdigest()

    assert KeyFile(path).owner_of(digest.encode()) is None


def test_every_key_is_compared_wherever_the_right_one_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a comparison that stops at the first match would tell where it is."""
    compared: list[bytes] = []
    keys = KeyFile(path)
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append(a) or a == b)

    keys.owner_of(ALICE.encode())

    assert len(compared) == 2


def test_two_keys_of_one_name_are_both_valid_so_that_clients_can_change_over() -> None:
    keys = parse_keys(f"{key_line('alice', ALICE)}\n{key_line('alice', BOB)}")

    assert [key.name for key in keys] == ["alice", "alice"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no key in it"),
        ("# nobody\n", "no key in it"),
        (ALICE, "line 1 is not"),
        (f"\nalice:{ALICE}", "line 2 is not"),
        (f"alice:{'0' * 63}", "line 1 is not"),
        (f"alice:{'G' * 64}", "line 1 is not"),
        (f"al ice:{'0' * 64}", "line 1 is not"),
        (f":{'0' * 64}", "line 1 is not"),
    ],
)
def test_broken_file_is_refused_at_start_without_showing_what_is_in_it(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(content)

    with pytest.raises(StartupError, match=reason) as error:
        KeyFile(path)

    assert ALICE not in str(error.value)


@pytest.mark.parametrize("name", [".", "gone.txt"])
def test_file_that_cannot_be_read_is_refused_at_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(StartupError, match="cannot be read"):
        KeyFile(tmp_path / name)


def test_file_that_is_no_text_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(StartupError, match="not UTF-8"):
        KeyFile(path)


def test_changed_file_takes_effect_while_serving(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyFile(path)
    path.write_text(key_line("carol", ALICE + BOB))
    before = keys.owner_of(ALICE.encode())

    let_time_pass(monkeypatch)

    assert before == "alice"
    assert keys.owner_of(ALICE.encode()) is None
    assert keys.owner_of((ALICE + BOB).encode()) == "carol"


def test_link_that_is_turned_to_another_file_takes_effect(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mounted secret of Kubernetes changes."""
    new = path.with_name("new.txt")
    new.write_text(path.read_text().replace("alice", "carol"))
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    link = path.with_name("link")
    link.symlink_to(path)
    keys = KeyFile(link)
    link.unlink()
    link.symlink_to(new)

    let_time_pass(monkeypatch)

    assert keys.owner_of(ALICE.encode()) == "carol"


@pytest.mark.parametrize("content", ["", "nonsense", None])
def test_broken_new_file_keeps_the_old_keys_and_says_so_once(
    path: Path,
    content: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = KeyFile(path)
    path.unlink() if content is None else path.write_text(content)

    let_time_pass(monkeypatch)
    owners = [keys.owner_of(ALICE.encode()) for _ in range(3)]

    assert owners == ["alice"] * 3
    assert [record.getMessage() for record in caplog.records] == ["keys_not_reloaded"]


def test_file_mended_after_it_was_broken_takes_effect(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyFile(path)
    path.write_text("nonsense")
    let_time_pass(monkeypatch)
    keys.owner_of(ALICE.encode())
    path.write_text(key_line("carol", ALICE))

    let_time_pass(monkeypatch)

    assert keys.owner_of(ALICE.encode()) == "carol"


def test_file_that_may_be_read_again_takes_effect(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content is the same as when it could not be read."""
    keys = KeyFile(path)
    path.write_text(key_line("carol", BOB))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError()))
        let_time_pass(monkeypatch)
        kept = keys.owner_of(ALICE.encode())
    path.chmod(0o640)

    let_time_pass(monkeypatch)

    assert kept == "alice"
    assert keys.owner_of(ALICE.encode()) is None


def test_new_keys_are_long_and_never_the_same() -> None:
    made = {new_secret() for _ in range(100)}

    assert len(made) == 100
    assert all(parse_keys(key_line("alice", secret)) for secret in made)


@pytest.mark.e2e
def test_hash_key_makes_a_key_and_keeps_it_out_of_the_line() -> None:
    result = command("hash-key", "alice", "--new")

    [key] = parse_keys(result.stdout)
    secret = result.stderr.split()[-1]
    assert key.digest == hashlib.sha256(secret.encode()).digest()
    assert secret not in result.stdout


@pytest.mark.e2e
def test_hash_key_reads_a_key_from_standard_input() -> None:
    assert command("hash-key", "alice", stdin=f"{ALICE}\n").stdout.strip() == key_line(
        "alice", ALICE
    )


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "secret", "reason"),
    [
        ("alice", "short", "16 to 512"),
        ("alice", "with a space in the middle", "16 to 512"),
        ("alice", "", "16 to 512"),
        ("a:b", ALICE, "a name has"),
    ],
)
def test_hash_key_refuses_what_could_not_be_sent_or_could_be_guessed(
    name: str, secret: str, reason: str
) -> None:
    result = command("hash-key", name, stdin=secret)

    [line] = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (2, "")
    assert reason in line
    assert not secret or secret not in line
