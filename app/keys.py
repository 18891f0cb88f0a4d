"""API keys: files of hashed keys, read again when they change.

A line is `<name>:<sha256 of the key, hexadecimal>`; empty lines and lines that start with # are
skipped. Several keys may have one name, so that a client can change keys without a pause. Keys are
long and random, so a fast hash without salt keeps them secret.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from app.errors import StartupError

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 1.0
"""A changed file is noticed by the first request after this time."""

KEY_BYTES = 32
"""Of randomness in a key that is made here."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SECRET = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")
"""A bearer token (RFC 6750) that is too long to be guessed, if it is random."""


@dataclass(frozen=True, slots=True)
class Key:
    """One line of a file.

    Attributes:
        name: whose key it is; shown in logs.
        digest: sha256 of the key.
    """

    name: str
    digest: bytes


class KeyFile:
    """The keys in a file now."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            StartupError: it cannot be read, or is no list of keys.
        """
        self._path = path
        self._checked_s = time.monotonic()
        try:
            self._stamp = self._stat()
            self._keys = parse_keys(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StartupError(f"key file {path}: {_reason(error)}") from error

    def owner_of(self, secret: bytes) -> str | None:
        """The name of a key; None if it is not in the file.

        Takes the same time wherever in the file the key is.
        """
        self._read_again_if_changed()
        digest = hashlib.sha256(secret).digest()
        name = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                name = key.name
        return name

    def _read_again_if_changed(self) -> None:
        """Take over a changed file whole, or keep the old keys if it is broken."""
        now = time.monotonic()
        if now - self._checked_s < CHECK_INTERVAL_S:
            return
        self._checked_s = now
        try:
            # Before the content: what changes in between is seen next time.
            stamp = self._stat()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._keys = parse_keys(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = _reason(error)
            logger.error("keys_not_reloaded", extra={"file": str(self._path), "reason": reason})
        else:
            fields = {"file": str(self._path), "keys": len(self._keys)}
            logger.info("keys_reloaded", extra=fields)

    def _stat(self) -> tuple[int, ...]:
        """Changes with the file and who may read it, also where a link is turned to another one."""
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def parse_keys(text: str) -> tuple[Key, ...]:
    """Read the lines of a key file.

    Raises:
        ValueError: a line that is no key (named by its number: it may hold a key as it is), or no
            key at all.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, _, digest = entry.partition(":")
        if not (NAME.fullmatch(name) and re.fullmatch("[0-9a-f]{64}", digest)):
            raise ValueError(
                f"line {number} is not `<name>:<sha256>`; see `python -m app hash-key`"
            )
        keys.append(Key(name, bytes.fromhex(digest)))
    if not keys:
        raise ValueError("there is no key in it; see `python -m app hash-key`")
    return tuple(keys)


def new_secret() -> str:
    """A key that nobody has yet."""
    return secrets.token_urlsafe(KEY_BYTES)


def key_line(name: str, secret: str) -> str:
    """The line of a key file for a key.

    Raises:
        ValueError: name or key cannot be used.
    """
    if not NAME.fullmatch(name):
        raise ValueError("a name has at most 64 letters, digits, dots, hyphens and underscores")
    if not SECRET.fullmatch(secret):
        raise ValueError("a key has 16 to 512 letters, digits and . _ ~ + / -, without spaces")
    return f"{name}:{hashlib.sha256(secret.encode()).hexdigest()}"


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    # A decoding error would quote the content.
    return "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
