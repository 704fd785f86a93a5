"""Keeping: what an ERP sends as every database takes it, and its records back as they were, so that none of them stops a run."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from typing import Any

from crm_core import CRMError

from .connector import Remote

LONGEST_ID = 200
MOST = 500_000  # characters of JSON: what is larger is kept without its data, for the ERP has it


def taken(text: str) -> bool:
    """Say whether every database takes a text: it has no NUL and no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def shown(text: str) -> str:
    """Return a text as it can be stored and shown: as it is, or with escapes."""
    return text if taken(text) else text.encode("unicode_escape").decode("ascii")


def named(remote: Remote) -> bool:
    """Say whether a record's id and version can be kept."""
    return all(len(name) <= LONGEST_ID and taken(name) for name in (remote.id, remote.version))


def key_of(id: str) -> str:
    """Return by what a record is known among those that could not be taken in: its id, or the beginning and the hash of an odd one."""
    if len(id) <= LONGEST_ID and taken(id):
        return id
    return f"{shown(id)[:100]}~{hashlib.sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def to_plain(remote: Remote) -> dict[str, Any]:
    """Return a record of the ERP as JSON that is kept until it can be taken in."""
    plain: dict[str, Any] = {
        "id": remote.id, "version": remote.version, "modified_at": remote.modified_at.isoformat(), "scope": remote.scope,
        "state": remote.state, "deleted": remote.deleted, "key": remote.key, "data": _plain(remote.data), "partial": remote.partial,
    }  # fmt: skip
    if remote.wrong is not None:
        plain["wrong"] = {"code": remote.wrong.code, "params": _plain(remote.wrong.params)}
    if len(json.dumps(plain)) > MOST:
        plain["data"] = {}
    if taken(json.dumps(plain, ensure_ascii=False).replace("\\u0000", "\x00")):
        return plain
    encoded = base64.b64encode(json.dumps(plain).encode("ascii")).decode("ascii")
    return {"id": key_of(remote.id), "version": shown(remote.version)[:LONGEST_ID], "encoded": encoded}


def from_plain(kept: dict[str, Any]) -> Remote:
    """Return the record of the ERP that :func:`to_plain` wrote."""
    if "encoded" in kept:
        kept = json.loads(base64.b64decode(kept["encoded"]))
    rest = {n: kept[n] for n in ("version", "scope", "state", "deleted", "key", "data")}
    wrong = CRMError(kept["wrong"]["code"], **kept["wrong"]["params"]) if "wrong" in kept else None
    partial = kept.get("partial", False)
    return Remote(kept["id"], modified_at=datetime.fromisoformat(kept["modified_at"]), partial=partial, wrong=wrong, **rest)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | bool | None) else str(value)
