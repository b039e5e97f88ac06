"""Durable files that know nothing of what they hold: atomic directories, JSON with digests, safetensors, NPZ, locks.

Everything is written whole or not at all, and synced to the disk; everything that is read is checked against its digest
and its size before memory is taken for it. Every failure is a `StorageError` that names the file.
"""

from jaxdaw.storage._atomic_directory import (
    FORMAT,
    Kind,
    format_refusal,
    read_arrays,
    read_document,
    remove_directory,
    remove_leftovers,
    write_directory,
)
from jaxdaw.storage._files import (
    LIMIT_BYTES,
    damaged,
    expanded_limit,
    opened,
    refuse_expansion,
    refuse_too_large,
    replace,
    sha256_of,
    sync,
    write_failure,
)
from jaxdaw.storage._journal import Record, encode_record, read_record
from jaxdaw.storage._json_with_digest import (
    JSON_DEPTH,
    JSON_LIMIT,
    canonical_json,
    parse_json,
    read_json,
    seal,
    unseal,
    without_duplicates,
    write_json,
)
from jaxdaw.storage._lock import DirectoryLock
from jaxdaw.storage._npz import map_npz, member_names, read_npz, verify_npz, write_npz
from jaxdaw.storage._safetensors import bytes_of, layout, on_host

__all__ = [
    "FORMAT",
    "JSON_DEPTH",
    "JSON_LIMIT",
    "LIMIT_BYTES",
    "DirectoryLock",
    "Kind",
    "Record",
    "bytes_of",
    "canonical_json",
    "damaged",
    "encode_record",
    "expanded_limit",
    "format_refusal",
    "layout",
    "map_npz",
    "member_names",
    "on_host",
    "opened",
    "parse_json",
    "read_arrays",
    "read_document",
    "read_json",
    "read_npz",
    "read_record",
    "refuse_expansion",
    "refuse_too_large",
    "remove_directory",
    "remove_leftovers",
    "replace",
    "seal",
    "sha256_of",
    "sync",
    "unseal",
    "verify_npz",
    "without_duplicates",
    "write_directory",
    "write_failure",
    "write_json",
    "write_npz",
]
