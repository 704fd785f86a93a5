"""Rules as JSON and back without loss: for roles kept as data, segments, conditions of automations, report filters.

A rule is an object whose ``op`` names the node: ``{"op": "eq", "field": "stage", "value": "new"}``. Text, bool and int stand for
themselves; others are tagged: ``{"decimal": "0.5"}``, ``{"money": {"amount": "1.00", "currency": "EUR"}}``, ``{"date": "2026-03-01"}``,
``{"datetime": "2026-03-01T12:00:00+00:00"}``, ``{"actor": "region"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from ..entities.money import Money
from ..errors import Invalid
from ..messages import closest
from .binding import MAX_DEPTH, MAX_NODES
from .predicates import (
    SYMBOLS,
    ActorValue,
    And,
    Compare,
    F,
    IsNull,
    Not,
    Operator,
    Or,
    Related,
    Rule,
    StartsWith,
    Within,
    actor,
    all_of,
    any_of,
    everything,
    nothing,
    owner,
    related,
    subordinates,
    team,
)

_WORDS: Final[Mapping[str, Rule]] = {str(r): r for r in (everything, nothing, owner, team, subordinates)}
# A node of JSON costs a few objects more than a node of the rule: values and their tags.
_JSON_NODES: Final = MAX_NODES * 4
_JSON_DEPTH: Final = MAX_DEPTH * 2 + 4


def to_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as plain JSON.

    Raises:
        Invalid: ``rule_unknown_node``, the rule holds something only a policy adds.
    """
    match rule:
        case And(rules):
            return {"op": "and", "rules": [to_json(r) for r in rules]}
        case Or(rules):
            return {"op": "or", "rules": [to_json(r) for r in rules]}
        case Not(inner):
            return {"op": "not", "rule": to_json(inner)}
        case Compare(field, operator, value):
            return {"op": operator, "field": field, "value": _dump(value)}
        case Within(field, ActorValue() as value):
            return {"op": "in", "field": field, "values": _dump(value)}
        case Within(field, values):
            return {"op": "in", "field": field, "values": [_dump(v) for v in cast("tuple[Any, ...]", values)]}
        case IsNull(field):
            return {"op": "is_null", "field": field}
        case StartsWith(field, prefix):
            return {"op": "startswith", "field": field, "prefix": prefix}
        case Related(ref, inner):
            return {"op": "related", "ref": ref, "rule": to_json(inner)}
        case _ if str(rule) in _WORDS:
            return {"op": str(rule)}
        case _:
            raise Invalid("rule_unknown_node", given=type(rule).__name__, suggestion="")


def from_json(data: Any) -> Rule:
    """Read a rule from JSON that may come from anywhere.

    Raises:
        Invalid: ``rule_too_deep``, ``rule_unknown_node``, ``rule_json`` (a key missing, unknown or of the wrong type), ``rule_value``.
    """
    _check_size(data)
    return _load(data)


def _check_size(data: Any) -> None:
    level, depth, nodes = [data], 0, 0
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        if depth > _JSON_DEPTH or nodes > _JSON_NODES:
            raise Invalid("rule_too_deep", depth=MAX_DEPTH, nodes=MAX_NODES)
        level = [inner for v in level if isinstance(v, list | dict) for inner in (v.values() if isinstance(v, dict) else v)]


def _load(data: Any) -> Rule:
    if not isinstance(data, dict) or not isinstance(data.get("op"), str):
        raise Invalid("rule_json", op="", expected='an object with "op"', given=type(data).__name__)
    op = data["op"]
    if op in _WORDS:
        _take(data)
        return _WORDS[op]
    if op not in _READERS:
        raise Invalid("rule_unknown_node", given=op[:60], suggestion=closest(op, [*_READERS, *_WORDS]))
    return _READERS[op](data)


def _take(data: Mapping[str, Any], **keys: type) -> list[Any]:
    """Return the values of *keys*, all there and of their types, and none besides."""
    wrong = data.keys() ^ {"op", *keys} or {k for k, kind in keys.items() if not isinstance(data[k], kind)}
    if wrong:
        expected = ", ".join(["op", *(f"{k} ({kind.__name__})" for k, kind in keys.items())])
        raise Invalid("rule_json", op=data["op"], expected=expected, given=", ".join(sorted(str(k)[:60] for k in data)))
    return [data[k] for k in keys]


def _read_and(data: Mapping[str, Any]) -> Rule:
    (rules,) = _take(data, rules=list)
    return all_of([_load(r) for r in rules])


def _read_or(data: Mapping[str, Any]) -> Rule:
    (rules,) = _take(data, rules=list)
    return any_of([_load(r) for r in rules])


def _read_not(data: Mapping[str, Any]) -> Rule:
    (rule,) = _take(data, rule=dict)
    return ~_load(rule)


def _read_compare(data: Mapping[str, Any]) -> Rule:
    field, value = _take(data, field=str, value=object)
    compare: Rule = getattr(F(field), f"__{cast('Operator', data['op'])}__")(_parse(value))
    return compare


def _read_in(data: Mapping[str, Any]) -> Rule:
    if isinstance(data.get("values"), dict):
        field, value = _take(data, field=str, values=dict)
        return F(field).in_(_parse(value))
    field, values = _take(data, field=str, values=list)
    return F(field).in_([_parse(v) for v in values])


def _read_is_null(data: Mapping[str, Any]) -> Rule:
    (field,) = _take(data, field=str)
    return F(field).is_null()


def _read_startswith(data: Mapping[str, Any]) -> Rule:
    field, prefix = _take(data, field=str, prefix=str)
    return F(field).startswith(prefix)


def _read_related(data: Mapping[str, Any]) -> Rule:
    ref, rule = _take(data, ref=str, rule=dict)
    return related(ref, _load(rule))


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Rule]]] = {
    "and": _read_and,
    "or": _read_or,
    "not": _read_not,
    "in": _read_in,
    "is_null": _read_is_null,
    "startswith": _read_startswith,
    "related": _read_related,
    **dict.fromkeys(SYMBOLS, _read_compare),
}


def _dump(value: Any) -> Any:
    match value:
        case ActorValue(attribute):
            return {"actor": attribute}
        case Decimal():
            return {"decimal": str(value)}
        case Money():
            return {"money": value.to_json()}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case _:
            return value


_TAGS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "actor": actor,
    "decimal": Decimal,
    "money": Money.from_json,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}


def _parse(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    tag, content = next(iter(value.items()), ("", None))
    try:
        if len(value) == 1 and tag in _TAGS and (tag == "money" or (isinstance(content, str) and len(content) <= 60)):
            return _TAGS[tag](content)
    except (ValueError, InvalidOperation):
        pass
    expected = 'a value, or one of {"decimal"|"date"|"datetime"|"actor": text} and {"money": {...}}'
    raise Invalid("rule_json", op="value", expected=expected, given=", ".join(str(k)[:60] for k in list(value)[:5]))
