"""Signatures that tell whether this user made a run: files name code only for whoever wrote the name."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdaw.storage import canonical_json

_KEY_BYTES = 32


def sign(contents: Mapping[str, Any]) -> str | None:
    """Returns the signature of JSON contents by this user's own key, which is made when first needed.

    The key is a file that only its owner can read, in the user's configuration directory.

    Returns:
      The signature, or None where no key can be kept: what is not signed is not trusted either.
    """
    key = _key(make=True)
    return None if key is None else hmac.new(key, canonical_json(contents), hashlib.sha256).hexdigest()


def is_signed(contents: Mapping[str, Any], signature: Any) -> bool:
    """Returns whether a signature is that of these contents by this user."""
    key = _key(make=False)
    if key is None or not isinstance(signature, str) or not signature.isascii():
        return False
    return hmac.compare_digest(hmac.new(key, canonical_json(contents), hashlib.sha256).hexdigest(), signature)


def _path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "jaxdaw" / "key"


def _key(make: bool) -> bytes | None:
    path = _path()
    if make and not path.exists():
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name(f".key-{os.getpid()}-{secrets.token_hex(4)}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)  # of two processes that make a key the first one's stays
            temporary.unlink()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            return None  # others can read or have written it: it proves nothing
        key = os.read(descriptor, _KEY_BYTES)
    finally:
        os.close(descriptor)
    return key if len(key) == _KEY_BYTES else None
