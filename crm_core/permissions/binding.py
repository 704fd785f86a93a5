"""Rules against an entity: does every field exist, does its kind know the operator, is the constant of its type?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import attrs

from ..classes import frozen
from ..entities.fields import FieldSpec
from ..entities.meta import EntitySpec, spec
from ..entities.money import WIDE, Money
from ..entities.sealing import MASK
from ..entities.validate import MAX_INTEGER, is_id
from ..errors import CRMError, LoadError
from ..messages import closest
from .actor import DECIMAL_PLACES, AttributeKind, has_places
from .predicates import (
    ActorValue,
    And,
    Compare,
    IsNull,
    Not,
    Or,
    Owned,
    Related,
    Rule,
    SameTeam,
    StartsWith,
    Subordinate,
    Within,
    all_of,
    any_of,
    related,
)

MAX_DEPTH: Final = 20
MAX_NODES: Final = 500
_EQUALS = {"eq", "ne"}
_ORDERS = {"lt", "le", "gt", "ge"}
_OPERATORS: Final[dict[str, set[str]]] = {
    "id": _EQUALS | {"in"},
    "ref": _EQUALS | {"in"},
    "enum": _EQUALS | {"in"},
    "bool": _EQUALS,
    "str": _EQUALS | _ORDERS | {"in", "startswith"},
    "text": _EQUALS | _ORDERS | {"in", "startswith"},
    "money": _EQUALS | _ORDERS,
    "json": set(),
    "list": set(),
} | dict.fromkeys(("int", "decimal", "date", "datetime"), _EQUALS | _ORDERS | {"in"})
_ATTRIBUTE_KINDS: Final[dict[str, AttributeKind]] = {
    "id": "id",
    "ref": "id",
    "str": "text",
    "text": "text",
    "enum": "text",
    "int": "int",
    "decimal": "decimal",
    "bool": "bool",
    "date": "date",
    "datetime": "datetime",
}


def _no_extension(_: type[Any]) -> Collection[type[Any]]:
    return ()


def _no_custom(_: type[Any]) -> Mapping[str, FieldSpec]:
    return {}


def _nothing_hidden(_: type[Any]) -> Collection[str]:
    return ()


def any_record(_: type[Any]) -> bool:
    """Let a rule ask the related records of any entity."""
    return True


def bind(
    rule: Rule,
    entity: EntitySpec,
    *,
    error: type[CRMError] = LoadError,
    extensions: Callable[[type[Any]], Collection[type[Any]]] = _no_extension,
    custom: Callable[[type[Any]], Mapping[str, FieldSpec]] = _no_custom,
    hidden: Callable[[type[Any]], Collection[str]] = _nothing_hidden,
    may_ask: Callable[[type[Any]], bool] = any_record,
) -> Rule:
    """Check *rule* against *entity* and fill in what only the entity knows: the targets of references, the types of actor values.

    Args:
        error: what to raise; Invalid for rules that are data.
        extensions: which extensions of an entity exist in this CRM; none where not said.
        custom: which custom fields of an entity may be asked for, by name; none where not said.
        hidden: which fields of an entity are as unknown as those that are not there, by column.
        may_ask: whether the rule may ask related records of an entity.

    Raises:
        LoadError: (or *error*) ``rule_too_deep``, ``rule_unknown_field``, ``rule_operator``, ``rule_constant``, ``rule_needs_owner``,
            ``rule_sees_more``.
    """
    check_size(rule, error)
    return _Binder(entity, error, extensions, custom, hidden, may_ask).bind(rule)


def check_size(rule: Rule, error: type[CRMError] = LoadError) -> None:
    """Refuse a rule of more than 20 levels or 500 nodes, without recursing into it."""
    level: Sequence[Rule] = [rule]
    depth = nodes = 0
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            raise error("rule_too_deep", depth=MAX_DEPTH, nodes=MAX_NODES)
        level = [inner for node in level for inner in _inner(node)]


def _inner(node: Rule) -> Sequence[Rule]:
    if isinstance(node, And | Or):
        return node.rules
    return (node.rule,) if isinstance(node, Not | Related) else ()


@frozen(eq=False, repr=False)
class _Binder:
    entity: EntitySpec
    error: type[CRMError]
    extensions: Callable[[type[Any]], Collection[type[Any]]]
    custom: Callable[[type[Any]], Mapping[str, FieldSpec]]
    hidden: Callable[[type[Any]], Collection[str]]
    may_ask: Callable[[type[Any]], bool]

    def bind(self, rule: Rule) -> Rule:
        match rule:
            case And(rules):
                return all_of(self.bind(r) for r in rules)
            case Or(rules):
                return any_of(self.bind(r) for r in rules)
            case Not(inner):
                return ~self.bind(inner)
            case Owned() | SameTeam() | Subordinate():
                self._check_owner(rule)
                return rule
            case IsNull(name):
                return IsNull(self._field(name).column)
            case Compare(name, operator, value):
                field = self._field(name, operator)
                return Compare(field.column, operator, self._value(field, value))
            case Within(name, values):
                return self._within(self._field(name, "in"), values)
            case StartsWith(name, prefix):
                return StartsWith(self._field(name, "startswith").column, prefix)
            case Related(name, inner):
                return self._related(self._field(name), inner)
            case _:
                return rule

    def _field(self, name: str, operator: str | None = None) -> FieldSpec:
        field = self.entity.field(name, self.extensions(self.entity.entity)) or self.custom(self.entity.entity).get(name)
        hidden = self.hidden(self.entity.entity)
        if field is None or field.column in hidden:
            suggestion = closest(name, [n for n in self.entity.fields if n not in hidden])
            raise self.error("rule_unknown_field", entity=self.entity.name, field=name[:60], suggestion=suggestion)
        if operator is not None and (operator not in _OPERATORS[field.kind] or field.options.sealed):
            raise self.error("rule_operator", entity=self.entity.name, field=name, kind=field.kind, operator=operator)
        return field

    def _check_owner(self, rule: Rule) -> None:
        field = self.entity.field("owner")
        if field is None or field.kind != "str" or "owner" in self.hidden(self.entity.entity):
            raise self.error("rule_needs_owner", entity=self.entity.name, rule=str(rule))

    def _related(self, field: FieldSpec, inner: Rule) -> Rule:
        if field.kind != "ref" or field.target is None:
            raise self.error("rule_operator", entity=self.entity.name, field=field.name, kind=field.kind, operator="related")
        target = spec(field.target)
        if not self.may_ask(field.target):
            raise self.error("rule_sees_more", entity=target.name)
        bound = related(field.column, attrs.evolve(self, entity=target).bind(inner))
        return attrs.evolve(bound, target=target.name) if isinstance(bound, Related) else bound

    def _within(self, field: FieldSpec, values: tuple[Any, ...] | ActorValue) -> Rule:
        if isinstance(values, ActorValue):
            if field.kind not in ("str", "text", "enum"):
                raise self.error("rule_operator", entity=self.entity.name, field=field.name, kind=field.kind, operator="in actor")
            return Within(field.column, ActorValue(values.attribute, "list"))
        return Within(field.column, tuple(self._value(field, v) for v in values))

    def _value(self, field: FieldSpec, value: Any) -> Any:
        if isinstance(value, ActorValue):
            # On SQLite a decimal is an integer of the column's scale, so the attribute's digits must all fit.
            if field.kind not in _ATTRIBUTE_KINDS or (field.kind == "decimal" and field.options.scale < DECIMAL_PLACES):
                raise self.error("rule_operator", entity=self.entity.name, field=field.name, kind=field.kind, operator="actor")
            return ActorValue(value.attribute, _ATTRIBUTE_KINDS[field.kind])
        if not _fits(field, value):
            raise self.error(
                "rule_constant", entity=self.entity.name, field=field.name, kind=field.kind, given=MASK if field.apart else str(value)[:60]
            )
        return Decimal(value) if field.kind == "decimal" else value


def _fits(field: FieldSpec, value: Any) -> bool:
    match field.kind:
        case "id" | "ref":
            return is_id(value)
        case "str" | "text":
            return isinstance(value, str)
        case "enum":
            return value in [str(member.value) for member in field.type]
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER
        case "decimal":
            return isinstance(value, int | Decimal) and not isinstance(value, bool) and _is_kept(Decimal(value), field.options.scale)
        case "money":
            from ..entities.custom import CustomSpec

            foreign = isinstance(field, CustomSpec) and any(field.foreign(value))
            return isinstance(value, Money) and _is_kept(value.amount, field.options.scale) and not foreign
        case "date":
            return isinstance(value, date) and not isinstance(value, datetime)
        case "datetime":
            return isinstance(value, datetime)
        case _:
            return False


def _is_kept(value: Decimal, scale: int) -> bool:
    """Whether the column keeps all digits, on SQLite as an integer of 64 bits."""
    return has_places(value, scale) and value.copy_abs() <= Decimal(MAX_INTEGER).scaleb(-scale, WIDE)
