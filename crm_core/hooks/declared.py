"""What a hook is declared to take: the type that stands beside its name, and the checks of answers that are compiled of it, once a hook.

``day_rates: FilterHook[Ctx, list[Money]] = FilterHook("rent.day_rates")`` is what both sides were told, so it is what is checked: the
elements of containers, and the attributes of attrs classes. What a hook that nobody annotates, or a type that is there for type checkers
only, would take is not known, and not checked.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, NewType, TypeAlias, Union, get_args, get_origin, get_type_hints, is_typeddict

import attrs

if TYPE_CHECKING:
    from .spec import Hook

Check: TypeAlias = Callable[[Any], str]
"""Says of a value where it is of another type, and of which (``[0].price: int instead of Money``); empty where it is as declared."""

# What the core makes it checks itself: an amount when it is made, a record when it is written, a change when a hook gives it back.
_CORE = __name__.partition(".")[0]
_VALUE = {"filter": 1, "first": 2, "collect": 2}
"""Which of the types in a hook's brackets an implementation answers with."""
_UNKNOWN = (NameError, AttributeError, TypeError)
"""What is raised of a name, a module's part or an operator that only a type checker understands."""


def annotation(hook: Hook[Any, Any]) -> Any:
    """Return what its author wrote behind the hook's name, in the module that made it; None where nothing stands there."""
    return next((each for name, each in hook._home.get("__annotations__", {}).items() if hook._home.get(name) is hook), None)


def hint(hook: Hook[Any, Any]) -> Any:
    """Resolve a hook's annotation; None where there is none, or where something in it is there for type checkers only."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation(hook)})
    try:
        return get_type_hints(holder, dict(hook._home))["it"]
    except _UNKNOWN:
        return None


def answer_of(hook: Hook[Any, Any]) -> Check | None:
    """Compile the check of what implementations of *hook* return; None where everything will do."""
    place, arguments = _VALUE.get(hook.kind), get_args(hint(hook))
    return None if place is None or len(arguments) <= place else _check(arguments[place], ())


@attrs.frozen
class _Kind:
    """A check that asks for a value's type alone, so that its answer for one value holds for all of that type."""

    kinds: tuple[Any, ...]
    hint: Any

    def __call__(self, value: Any) -> str:
        return "" if isinstance(value, self.kinds) else _other(value, self.hint)


def _check(hint: Any, within: tuple[type[Any], ...]) -> Check | None:
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, NewType):
        return _check(hint.__supertype__, within)
    if origin in (Union, types.UnionType):
        return _one_of([_check(each, within) for each in arguments], hint)
    if origin is Literal:
        return lambda value: "" if value in arguments else _other(value, hint)
    kind = type(None) if hint is None else dict if is_typeddict(hint) else origin or hint
    is_kind = _Kind((int, float) if kind is float else (kind,), hint)
    try:
        is_kind(None)
    except TypeError:  # Any, a TypeVar, a protocol
        return None
    if kind is object:
        return None
    if len(arguments) == 2 and issubclass(kind, Mapping):
        return _pairs(is_kind, *(_check(each, within) for each in arguments))
    if kind is tuple and arguments and arguments[-1] is not ...:
        return _parts(is_kind, [_check(each, within) for each in arguments])
    if arguments and (kind is tuple or len(arguments) == 1) and issubclass(kind, Collection):
        return _items(is_kind, _check(arguments[0], within))
    is_whole = arguments or kind in within or hasattr(kind, "__crm_spec__") or kind.__module__.partition(".")[0] == _CORE
    if attrs.has(kind) and not is_whole:
        return _attributes(is_kind, kind, (*within, kind))
    return is_kind


def _one_of(checks: list[Check | None], hint: Any) -> Check | None:
    known = [check for check in checks if check is not None]
    if len(known) < len(checks):
        return None
    plain = [check for check in known if isinstance(check, _Kind)]
    if len(plain) == len(checks):
        return _Kind(tuple(kind for check in plain for kind in check.kinds), hint)
    return lambda value: _other(value, hint) if all(check(value) for check in known) else ""


def _items(is_kind: _Kind, check: Check | None) -> Check:
    if check is None:
        return is_kind
    good: set[type[Any]] = set()
    kinds = is_kind.kinds

    def items(value: Any) -> str:
        if not isinstance(value, kinds):
            return is_kind(value)
        if not good.issuperset(map(type, value)):
            for n, each in enumerate(value):
                if wrong := check(each):
                    return f"[{n}]{wrong}"
            if isinstance(check, _Kind):
                good.update(map(type, value))
        return ""

    return items


def _parts(is_kind: _Kind, checks: list[Check | None]) -> Check:
    def parts(value: Any) -> str:
        if wrong := is_kind(value):
            return wrong
        if len(value) != len(checks):
            return f": a tuple of {len(value)} instead of {_name(is_kind.hint)}"
        pairs = enumerate(zip(checks, value, strict=True))
        return next((f"[{n}]{wrong}" for n, (check, each) in pairs if check is not None and (wrong := check(each))), "")

    return parts


def _pairs(is_kind: _Kind, key: Check | None, item: Check | None) -> Check:
    keys, items = (_items(_Kind((object,), object), check) for check in (key, item))

    def pairs(value: Any) -> str:
        if wrong := is_kind(value):
            return wrong
        if wrong := keys(value):
            return f" key {wrong}"
        return f" value {wrong}" if (wrong := items(value.values())) else ""

    return pairs


def _attributes(is_kind: Check, cls: type[Any], within: tuple[type[Any], ...]) -> Check:
    try:
        hints = get_type_hints(cls)
    except _UNKNOWN:
        return is_kind
    checks = {a.name: check for a in attrs.fields(cls) if (check := _check(hints.get(a.name, Any), within)) is not None}
    plain = [name for name, check in checks.items() if isinstance(check, _Kind)]
    known: set[tuple[type[Any], ...]] = set()

    def attributes(value: Any) -> str:
        if not isinstance(value, cls):
            return is_kind(value)
        kinds = tuple([type(getattr(value, name)) for name in plain])
        for name, check in deep if kinds in known else checks.items():
            if wrong := check(getattr(value, name)):
                return f".{name}{wrong}"
        known.add(kinds)
        return ""

    deep = [(name, check) for name, check in checks.items() if name not in plain]
    return attributes


def _other(value: Any, hint: Any) -> str:
    return f": {type(value).__name__} instead of {_name(hint)}"


def _name(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " | ".join(map(_name, get_args(hint)))
    if hint in (None, type(None)):
        return "None"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
