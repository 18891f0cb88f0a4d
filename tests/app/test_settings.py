from pathlib import Path

import pytest

from app.errors import StartupError
from app.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LOYAL_{name.upper()}", raising=False)


def test_defaults_bind_to_this_machine_only() -> None:
    settings = read_settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.model_store == Path("model_store")


def test_flag_wins_over_environment_and_environment_over_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOYAL_PORT", "9001")
    monkeypatch.setenv("LOYAL_HOST", "0.0.0.0")

    settings = read_settings({"port": "9002", "host": None})

    assert (settings.port, settings.host) == (9002, "0.0.0.0")


def test_unknown_name_is_refused_and_the_known_ones_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOYAL_MAX_TEXT", "3")

    with pytest.raises(StartupError, match="LOYAL_MAX_TEXT is not a setting; known are") as error:
        read_settings()

    assert error.value.exit_code == 2


def test_variable_of_the_training_commands_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOYAL_DATA", "data")

    read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOYAL_MAX_TEXTS_PER_REQUEST", "0"),
        ("LOYAL_MAX_BODY_BYTES", "1e9"),
        ("LOYAL_REQUEST_TIMEOUT_MS", ""),
        ("LOYAL_DRAIN_DELAY_S", "-1"),
        ("LOYAL_LOG_LEVEL", "loud"),
    ],
)
def test_value_out_of_bounds_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(StartupError, match=name) as error:
        read_settings()

    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
