"""Fields, parameters and defaults as one line of text each, the same on every Python: what a diff of ``plugin.json`` shows."""

from __future__ import annotations

import enum
import hashlib
import inspect
import json
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import Any

import attrs

from ..entities.fields import FieldSpec
from ..entities.meta import spec
from ..entities.money import Money

_FLAGS = ("unique", "sealed", "read_only", "tree")
_PLAIN = (str, int, float, bool, type(None), Decimal, Money, date, time)


def field_text(field: FieldSpec) -> str:
    """Write what an entity's field takes: ``str(255) | None, unique = None``."""
    flags = [flag.replace("_", " ") for flag in _FLAGS if getattr(field.options, flag)]
    flags += [f"{name} {bound}" for name in ("min", "max") if (bound := getattr(field.options, name)) is not None]
    flags += [field.options.format] if field.options.format else []
    flags += [field.options.classified] if field.options.classified != "internal" else []
    taken = ", ".join([_kind(field) + " | None" * field.nullable, *flags])
    return taken if field.required else f"{taken} = {_default(field)}"


def _kind(field: FieldSpec) -> str:
    match field.kind:
        case "ref" if field.target is not None:
            return f"Ref[{spec(field.target).name}]"
        case "enum":
            return " | ".join(json.dumps(member.value) for member in field.type)
        case "list":
            return f"list[{field.type.__name__}]"
        case "str" | "text":
            return f"{field.kind}({field.length})"
        case "decimal":
            return f"decimal({field.options.scale})"
        case kind:
            return kind


def _default(field: FieldSpec) -> str:
    if field.options.factory is not None:
        return "..."
    value = field.options.default
    return json.dumps(value.value) if isinstance(value, enum.Enum) else value_text(value)


def attribute_text(attribute: attrs.Attribute[Any], annotation: Any) -> str:
    """Write an attribute of a command, an event or settings: ``Decimal = Decimal('0.01')``."""
    taken = annotation_text(annotation)
    return taken if attribute.default is attrs.NOTHING else f"{taken} = {value_text(attribute.default)}"


def annotation_text(annotation: Any) -> str:
    """Write an annotation as its author did."""
    if isinstance(annotation, str):
        return " ".join(annotation.split())
    if annotation is None or annotation is type(None):
        return "None"
    return inspect.formatannotation(annotation) if not isinstance(annotation, type) else annotation.__name__


def value_text(value: Any) -> str:
    """Write a default; ``...`` where no text says what it is."""
    if value is attrs.NOTHING:
        return "..."
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if type(value) in _PLAIN:
        return repr(value)
    if type(value) in (tuple, list, dict) and not value:
        return repr(value)
    if isinstance(value, type) or inspect.isfunction(value):
        return value.__qualname__.rpartition(".")[2].strip("<>")
    return "..."


def code_text(fn: Callable[..., Any]) -> str:
    """Write which code a function is: a mark of its source that blanks and line ends leave as it is; ``?`` where no source is there."""
    try:
        source = inspect.getsource(inspect.unwrap(fn))
    except (OSError, TypeError):
        return "?"
    return hashlib.sha256("".join(source.split()).encode()).hexdigest()[:10]


def call_text(fn: Callable[..., Any]) -> str:
    """Write how a function is called: ``(account: Ref[Account], *, points: int = 0) -> int``, without ``self``."""
    signature = inspect.signature(fn)
    given = list(signature.parameters.values())
    own = given[1:] if given and given[0].name in ("self", "cls", "_cls", "/") else given
    parts: list[str] = []
    for before, parameter in zip([None, *own], own, strict=False):
        if parameter.kind is parameter.KEYWORD_ONLY and (before is None or before.kind not in (before.KEYWORD_ONLY, before.VAR_POSITIONAL)):
            parts.append("*")
        if before is not None and before.kind is before.POSITIONAL_ONLY and parameter.kind is not parameter.POSITIONAL_ONLY:
            parts.append("/")
        parts.append(_parameter(parameter))
    if own and own[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        parts.append("/")
    returns = signature.return_annotation
    said = "" if returns is inspect.Signature.empty else f" -> {annotation_text(returns)}"
    return f"({', '.join(parts)}){said}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL) + "**" * (parameter.kind is parameter.VAR_KEYWORD)
    typed = "" if parameter.annotation is parameter.empty else f": {annotation_text(parameter.annotation)}"
    default = "" if parameter.default is parameter.empty else f" = {value_text(parameter.default)}"
    return f"{stars}{parameter.name}{typed}{default}"
