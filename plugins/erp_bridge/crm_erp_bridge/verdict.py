"""What a record of the ERP means for ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from .connector import Remote
from .ledger import Binding
from .mapping import Values

VerdictKind = Literal["create", "update", "same", "echo", "conflict", "delete", "waiting", "invalid", "skipped"]


@attrs.define
class Verdict:
    """What is to be done with one record of the ERP.

    Attributes:
        values: its canonical values; references are our ids.
        ours: our record's, where there is one.
        changes: what our record takes over.
        overruled, conflicts: see :class:`~crm_erp_bridge.merge.Merged`.
        missing: what it may do without and points at, as (stream, id): it is taken in, and linked when that is here.
        error: what is wrong, as plain JSON.
    """

    kind: VerdictKind
    remote: Remote
    binding: Binding | None = None
    local_id: str | None = None
    values: Values = attrs.Factory(dict)
    ours: Values = attrs.Factory(dict)
    plain: Mapping[str, Any] = attrs.Factory(dict)
    changes: Values = attrs.Factory(dict)
    overruled: list[str] = attrs.Factory(list)
    conflicts: dict[str, tuple[Any, Any]] = attrs.Factory(dict)
    missing: list[tuple[str, str]] = attrs.Factory(list)
    error: dict[str, Any] = attrs.Factory(dict)
