"""What hooks are shown of a changeset: its records, which filters may change, and copies of all else, so that nothing else comes back."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import PluginFailed
from ..hooks.core_specs import Change, WriteCtx

if TYPE_CHECKING:
    from ..entities.codec import Codec
    from ..hooks.spec import Hook
    from .changeset import Changeset


class Shown:
    """A changeset as the implementations of one hook see it.

    What a record was, which fields change and the list itself are the core's: the journal, the rights and the statement are made of
    them. A hook gets its own of each.

    Attributes:
        ctx: the context of the call.
        changes: what the hook is given.
        given: the same, whatever becomes of the list.
        plugins: who may have changed what is changed.
    """

    def __init__(self, codec: Codec, ctx: WriteCtx, hook: Hook[WriteCtx, Any], work: Changeset) -> None:
        self.ctx = WriteCtx(session=ctx.session, entity=ctx.entity, op=ctx.op)
        self.changes = [Change(c.record, None if c.old is None else codec.copy(c.old), c.fields) for c in work.changes]
        self._codec = codec
        self._hook = hook
        self._work = work
        self.given = tuple(self.changes)
        self.plugins = ", ".join(dict.fromkeys(impl.plugin for _, impl in hook.plan(ctx)))
        self._parts = ", ".join(dict.fromkeys(impl.name for _, impl in hook.plan(ctx)))
        self._before = _snapshots(codec, work)

    def moved(self, returned: Sequence[Any] | None = None) -> Iterator[tuple[int, frozenset[str]]]:
        """Yield for each change its place and which fields of its record have other values now; a replaced record is taken over.

        Raises:
            PluginFailed: what came back are not the changes that were given, or their records are of another kind.
        """
        back = self.given if returned is None else returned
        for n, (change, shown, then) in enumerate(zip(self._work.changes, back, self._before, strict=True)):
            if type(shown) is not Change or type(shown.record) is not self._codec.entity:
                raise self._misbehaved("returned something else than the changes")
            change.record = shown.record
            now = self._codec.values(change.record)
            if then.keys() - now.keys():
                raise self._misbehaved("took a value out of a record")
            yield n, frozenset(f for f in now if f not in then or differ(now[f], then[f]))

    def _misbehaved(self, reason: str) -> PluginFailed:
        return PluginFailed(plugin=self.plugins, hook=self._hook.name, function=self._parts, reason=reason)


def differ(one: Any, other: Any) -> bool:
    """Say whether two values differ; what cannot be compared does, and is judged later."""
    try:
        return bool(one != other)
    except Exception:
        return True


def _snapshots(codec: Codec, work: Changeset) -> list[dict[str, Any]]:
    """Copy the values of records before hooks see them, deep where a hook could change them in place."""
    deep = [n for n, f in codec.fields.items() if f.kind in ("json", "list")]
    before = [codec.values(c.record) for c in work.changes]
    for values in before:
        values.update({n: copy.deepcopy(values[n]) for n in deep if n in values})
    return before
