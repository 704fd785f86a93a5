"""Types of fields in words."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Union, get_args, get_origin

import attrs

from crm_core import Money
from crm_core.entities.fields import FieldSpec
from crm_core.entities.meta import spec

from .markdown import code, value

_WORDS = {"str": "text", "int": "integer", "datetime": "instant", "json": "JSON", "bool": "yes or no"}


def kind(field: FieldSpec) -> str:
    """Say what values a field takes."""
    if field.kind == "ref" and field.target is not None:
        return f"reference to {code(spec(field.target).name)}"
    if field.kind == "enum":
        return "one of " + ", ".join(code(member.value) for member in field.type)
    if field.kind == "list":
        return f"list of {code(field.type.__name__)}"
    if field.kind in ("str", "text"):
        return f"text, {field.length:,} characters"
    if field.kind == "decimal":
        return f"decimal, {field.options.scale} places"
    return _WORDS.get(field.kind, field.kind)


def notes(field: FieldSpec) -> Iterator[str]:
    """Say what else holds for a field."""
    options = field.options
    if field.required:
        yield "may be empty, but must be given" if field.nullable else "required"
    elif options.factory is None and value(options.default):
        yield f"default {value(options.default)}"
    if options.min is not None or options.max is not None:
        yield f"{_bound(options.min)}…{_bound(options.max)}"
    for name, word in (("unique", "unique"), ("index", "indexed"), ("read_only", "written by its plugin alone"), ("pii", "personal")):
        if getattr(options, name):
            yield word
    if field.kind == "ref":
        yield {
            "protect": "protects its target from deletion",
            "set_null": "emptied when its target is deleted",
            "cascade": "deleted with its target",
        }[options.on_delete]


def _bound(given: Any) -> str:
    return "" if given is None else f"{given:f}" if isinstance(given, Decimal) else str(given)


def hint(given: Any) -> str:
    """Write an annotation of a command, an event or settings."""
    origin, args = get_origin(given), get_args(given)
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if a is type(None) else hint(a) for a in args)
    if origin in (list, tuple, set, frozenset):
        return f"list of {hint(args[0])}"
    if origin in (dict, Mapping):
        return "JSON" if origin is dict else "values by field"
    if args and isinstance(args[0], type):
        return f"reference to {code(spec(args[0]).name)}"
    if isinstance(given, type) and hasattr(given, "__members__"):
        return "one of " + ", ".join(code(member.value) for member in given.__members__.values())
    if given is Money or attrs.has(given):
        return code(given.__name__)
    name: str = given.__name__
    return {"str": "text", "int": "integer", "bool": "yes or no", "Decimal": "decimal", "datetime": "instant"}.get(name, name)


def default(attribute: Any) -> str:
    """Write the default of a field of settings or of a command; nothing where it is required."""
    given = attribute.default
    if given is attrs.NOTHING:
        return "required"
    if hasattr(given, "factory"):
        return ", ".join(map(value, given.factory()))
    return value(given)
