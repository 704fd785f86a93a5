"""The SQL reading of rules: a condition on an entity's physical table. It agrees with ``to_python`` row for row.

SQL's third truth value cannot show: a comparison with NULL yields NULL, which WHERE, AND and OR treat as false, and ``Not`` is written
``IS NOT TRUE``. Text columns are declared by code point (``sqltypes.text_type``), so orderings need no COLLATE here.

All that differs between actors is a bind: ``crm_tenant``, ``crm_me``, ``crm_teams`` and ``crm_grantees`` (JSON arrays),
``crm_attr_<attribute>_<kind>``; so the actors of one policy share one compiled statement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import attrs
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    FromClause,
    String,
    and_,
    bindparam,
    cast,
    exists,
    false,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeEngine

from ..entities.custom_columns import CustomColumn
from ..entities.money import Money
from ..entities.sqltypes import DecimalType, EnumType, IdType, InstantType
from .actor import Actor, AttributeKind
from .predicates import (
    ActorValue,
    And,
    Compare,
    Everything,
    IsNull,
    Not,
    Nothing,
    Or,
    Owned,
    Related,
    Rule,
    SameTeam,
    Seen,
    Shared,
    StartsWith,
    Subordinate,
    Within,
)

_KINDS: Final[Mapping[AttributeKind, TypeEngine[Any]]] = {
    "text": String(),
    "id": IdType(),
    "int": BigInteger(),
    "decimal": DecimalType(),
    "bool": Boolean(),
    "date": Date(),
    "datetime": InstantType(),
    "list": String(),
}


_KINDS_OF: Final[Mapping[type, tuple[AttributeKind, ...]]] = {
    str: ("text", "id"),
    int: ("int", "decimal"),
    Decimal: ("decimal",),
    bool: ("bool",),
    date: ("date",),
    datetime: ("datetime",),
    tuple: ("list",),
}


Columns: TypeAlias = Mapping[str, ColumnElement[Any]] | ReadOnlyColumnCollection[str, Any]


@attrs.frozen(eq=False)
class SqlEnv:
    """Where a rule's words stand in the database.

    Attributes:
        table: the entity's physical table, or an alias of it, as it stands in the FROM around the condition.
        tables: physical tables by entity name, for ``related``.
        member, team_member, share: the core's tables of those names.
        form: how sets are tested. ``exists`` suits pages and single records, ``in`` suits aggregates and outer joins.
    """

    table: FromClause
    tables: Mapping[str, FromClause]
    member: FromClause
    team_member: FromClause
    share: FromClause
    form: Literal["exists", "in"] = "exists"


def binds(actor: Actor) -> dict[str, Any]:
    """Return the values of an actor for the binds of every rule; once a session."""
    found = {
        "crm_tenant": actor.tenant,
        "crm_me": actor.id,
        "crm_teams": json.dumps(sorted(actor.teams)),
        "crm_grantees": json.dumps(actor.grantees),
    }
    for name, given in actor.attributes.items():
        for kind in _KINDS_OF.get(type(given), _KINDS):
            value = actor.attribute(name, kind)
            if value is not None:
                found[f"crm_attr_{name}_{kind}"] = json.dumps(value) if kind == "list" else value
    return found


def tenant_bind() -> ColumnElement[str]:
    """Return the bind that holds the actor's tenant."""
    return _bind("crm_tenant")


def _bind(name: str, type_: TypeEngine[Any] | None = None) -> ColumnElement[Any]:
    return bindparam(name, None, type_=type_ or String())


class _Among(FunctionElement[Any]):
    """Whether a text is one of those in a JSON array."""

    inherit_cache = True
    name = "crm_among"
    # Not Boolean: for SQLite that would be written "= 1", and no index serves it.
    type = NullType()


@compiles(_Among)
def _among_on_sqlite(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    text, texts = (compiler.process(e, **kw) for e in element.clauses)
    return f"({text} IN (SELECT value FROM json_each({texts})))"


@compiles(_Among, "postgresql")
def _among_on_postgresql(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    # As an array, not as a set of unknown size: so the texts are looked up in an index.
    text, texts = (compiler.process(e, **kw) for e in element.clauses)
    return f"({text} = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST({texts} AS JSONB)))))"


def _among(column: ColumnElement[Any], texts: ColumnElement[Any]) -> ColumnElement[bool]:
    return _Among(column, texts)


def to_sql(rule: Rule, env: SqlEnv) -> ColumnElement[bool]:
    """Return a bound rule as a condition on ``env.table``. The tenant and deletion of the record itself are not part of it."""
    match rule:
        case Everything():
            return true()
        case Nothing():
            return false()
        case And(rules):
            return and_(*(to_sql(r, env) for r in rules))
        case Or(rules):
            return or_(*(to_sql(r, env) for r in rules))
        case Not(inner):
            return to_sql(inner, env).self_group().is_not(true())
        case Owned() | SameTeam() | Subordinate():
            return _of_owner(rule, env)
        case Shared(action, entity):
            return _shared(action, entity, env)
        case Related(ref, inner, target):
            return _related(ref, inner, target, env)
        case Seen():
            return _seen(rule, env)
        case _:
            return of_field(rule, env.table.c)


def _of_owner(rule: Rule, env: SqlEnv) -> ColumnElement[bool]:
    owner = env.table.c.owner
    mine = owner == _bind("crm_me")
    match rule:
        case Owned():
            return mine
        case Subordinate():
            below = env.member.c
            return or_(mine, _in_set(owner, below.user_id, below.tenant, below.ancestor == _bind("crm_me"), env))
        case _:
            teams = _bind("crm_teams")
            peers = env.team_member.c
            return or_(and_(mine, teams != literal("[]")), _in_set(owner, peers.user_id, peers.tenant, _among(peers.team, teams), env))


def _in_set(
    column: ColumnElement[Any], key: ColumnElement[Any], tenant: ColumnElement[Any], condition: ColumnElement[bool], env: SqlEnv
) -> ColumnElement[bool]:
    condition = and_(tenant == tenant_bind(), condition)
    if env.form == "in":
        return column.in_(select(key).where(condition).correlate(None))
    return exists().where(key == column, condition).correlate(env.table)


def _shared(action: str, entity: str, env: SqlEnv) -> ColumnElement[bool]:
    share = env.share.c
    chosen = and_(share.entity == literal(entity), share.action == literal(action), _among(share.grantee, _bind("crm_grantees")))
    return _in_set(env.table.c.id, share.record, share.tenant, chosen, env)


def _related(ref: str, inner: Rule, target: str, env: SqlEnv) -> ColumnElement[bool]:
    other = env.tables[target].alias()
    rule = to_sql(inner, attrs.evolve(env, table=other))
    living = and_(other.c.deleted_at.is_(None), rule)
    return _in_set(env.table.c[ref], other.c.id, other.c.tenant, living, env)


def _seen(rule: Seen, env: SqlEnv) -> ColumnElement[bool]:
    pointer, named = env.table.c[rule.record], env.table.c[rule.entity]
    limited = [(name, inner) for name, inner in rule.rules if not isinstance(inner, Everything)]
    whole = sorted({name for name, _ in rule.rules} - {name for name, _ in limited})
    some = []
    for name, inner in limited:
        other = env.tables[name].alias()
        living = and_(other.c.deleted_at.is_(None), to_sql(inner, attrs.evolve(env, table=other)))
        # Of the id's type, so that its index serves; what is no id was refused when it was written.
        found = _in_set(cast(pointer, other.c.id.type), other.c.id, other.c.tenant, living, env)
        some.append(and_(named == literal(name, named.type), found))
    return or_(*([_among(named, literal(json.dumps(whole)))] if whole else []), *some) if rule.rules else false()


def of_field(rule: Rule, columns: Columns) -> ColumnElement[bool]:
    """Return a bound rule on one field as a condition on the *columns* of its entity, by name."""
    match rule:
        case IsNull(field):
            return columns[field].is_(None)
        case Compare(field, operator, Money() as money) if not isinstance(columns[field], CustomColumn):  # that has one currency
            return _of_money(columns[field], columns[f"{field}_currency"], operator, money)
        case Compare(field, operator, value):
            return _compare(columns[field], operator, _value(columns[field], value))
        case Within(field, values):
            column = columns[field]
            if isinstance(values, ActorValue):
                return _among(column, _value(column, values))
            return column.in_([_value(column, v) for v in values])
        case StartsWith(field, prefix):
            return _starts_with(columns[field], prefix)
        case _:
            raise TypeError(f"{type(rule).__name__} is no rule")


def _value(column: ColumnElement[Any], value: Any) -> ColumnElement[Any]:
    if not isinstance(value, ActorValue):
        return literal(value, String() if isinstance(column.type, EnumType) else column.type)
    if value.kind is None:
        raise TypeError(f"{value!r} is not bound to an entity")
    return _bind(f"crm_attr_{value.attribute}_{value.kind}", _KINDS[value.kind])


def _compare(column: ColumnElement[Any], operator: str, value: ColumnElement[Any]) -> ColumnElement[bool]:
    compared: ColumnElement[bool] = getattr(column, f"__{operator}__")(value)
    return compared


def _of_money(amount: ColumnElement[Any], currency: ColumnElement[Any], operator: str, money: Money) -> ColumnElement[bool]:
    compared = _compare(amount, operator, literal(money.amount, amount.type))
    if operator == "ne":
        return or_(compared, currency != literal(money.currency))
    return and_(currency == literal(money.currency), compared)


def _starts_with(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
    """Write the prefix as a range by code point: it uses an index, and no character is a wildcard."""
    if not prefix:
        return column.is_not(None)
    end = _after(prefix)
    lower = column >= literal(prefix, column.type)
    return lower if end is None else and_(lower, column < literal(end, column.type))


def _after(prefix: str) -> str | None:
    """Return the first text after all that begin with *prefix*, or None where there is none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    last = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if last == 0xD800 else last)
