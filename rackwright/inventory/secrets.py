"""Secrets at rest: Fernet, with keys in a 0600 file outside the database; write-only towards users.

The key file holds one key a line, newest first: the first encrypts, all decrypt (MultiFernet).
``rotate`` puts a new one first and re-encrypts what is stored.
"""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from rackwright.inventory.errors import NotFoundError, SecretKeyError
from rackwright.inventory.tables import SECRET

KEY_PATH = Path("keys") / "secret.key"


class SecretBox:
    """Encrypts and decrypts; its ``repr`` shows nothing."""

    def __init__(self, key_file: Path) -> None:
        """Loads the keys, makes the first where the file is missing. Raises SecretKeyError."""
        self._file = key_file
        self._keys = _load(key_file) if key_file.exists() else [_create(key_file)]
        self._fernet = MultiFernet([Fernet(key) for key in self._keys])

    def __repr__(self) -> str:
        return "SecretBox()"

    def put(self, connection: Connection, name: str, value: Mapping[str, str], now: float) -> None:
        """Store (or replace) one secret: a flat mapping such as username and password."""
        ciphertext = self._fernet.encrypt(json.dumps(dict(value), sort_keys=True).encode())
        row = insert(SECRET).values(name=name, ciphertext=ciphertext, updated_at=now)
        kept = {"ciphertext": row.excluded.ciphertext, "updated_at": row.excluded.updated_at}
        connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=kept))

    def get(self, connection: Connection, name: str) -> dict[str, str]:
        """For drivers alone, never for an API's answer. Raises NotFoundError, SecretKeyError."""
        ciphertext = connection.scalar(select(SECRET.c.ciphertext).where(SECRET.c.name == name))
        if ciphertext is None:
            raise NotFoundError(f"no secret {name!r} is stored")
        return self._open(name, ciphertext)

    def delete(self, connection: Connection, name: str) -> None:
        """Idempotent."""
        connection.execute(delete(SECRET).where(SECRET.c.name == name))

    def rotate(self, connection: Connection, now: float) -> int:
        """Re-encrypt everything under a new key; returns how many secrets there are.

        The new key is in the file before anything is encrypted under it; the old ones stay there,
        so that a backup made before can still be read. ``drop_old_keys`` removes them.
        """
        new = Fernet.generate_key()
        _write(self._file, [new, *self._keys])
        self._keys = [new, *self._keys]
        self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        rows = connection.execute(select(SECRET.c.name, SECRET.c.ciphertext)).all()
        for name, ciphertext in rows:
            try:
                fresh = self._fernet.rotate(ciphertext)
            except InvalidToken as error:
                raise _unreadable(name) from error
            changed = {"ciphertext": fresh, "updated_at": now}
            connection.execute(update(SECRET).where(SECRET.c.name == name).values(changed))
        return len(rows)

    def drop_old_keys(self, connection: Connection) -> None:
        """Keep only the newest key. Raises SecretKeyError when something still needs another."""
        newest = Fernet(self._keys[0])
        for name, ciphertext in connection.execute(select(SECRET.c.name, SECRET.c.ciphertext)):
            try:
                newest.decrypt(ciphertext)
            except InvalidToken as error:
                raise _unreadable(name) from error
        self._keys = self._keys[:1]
        _write(self._file, self._keys)
        self._fernet = MultiFernet([newest])

    def _open(self, name: str, ciphertext: bytes) -> dict[str, str]:
        try:
            value: dict[str, str] = json.loads(self._fernet.decrypt(ciphertext))
        except InvalidToken as error:
            raise _unreadable(name) from error
        return value


def _unreadable(name: str) -> SecretKeyError:
    return SecretKeyError(
        f"the key file does not open the stored secret {name!r}",
        hint="put back the key file that belongs to this database, or set the secret anew",
    )


def _load(path: Path) -> list[bytes]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SecretKeyError(f"{path} has mode {mode:04o}", hint=f"chmod 600 {path}")
    keys = path.read_bytes().split()
    try:
        for key in keys:
            Fernet(key)
    except ValueError as error:
        raise SecretKeyError(
            f"{path} does not hold keys", hint="restore it from a backup"
        ) from error
    if not keys:
        raise SecretKeyError(f"{path} is empty", hint="restore it from a backup")
    return keys


def _create(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Fernet.generate_key()
    _write(path, [key])
    return key


def _write(path: Path, keys: list[bytes]) -> None:
    """Replace the file at once, durably: a key must never be lost once something is under it."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, b"\n".join(keys) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
