"""Rules: a closed set of predicates on one record and one actor, read as SQL (``to_sql``) and as Python (``to_python``).

What they mean is defined here, once. A rule is true or false, never unknown:

- A comparison (``==``, ``!=``, ``<``, ``in_``, ``startswith``, the owner rules, ...) where either side is NULL is false. So neither
  ``F("stage") == "new"`` nor ``F("stage") != "new"`` holds for a record without a stage; ``F("stage").is_null()`` does.
- ``~rule`` holds exactly where *rule* does not. So ``~(F("stage") == "new")`` does hold for a record without a stage.
- Text compares by code point: case matters, no normalisation, on every database.
- Money compares within its currency: ``==`` needs both equal, ``!=`` holds where either differs, the orderings are false between
  unlike currencies.
- ``related(ref, rule)`` holds where the record that *ref* points at exists in the tenant, is not deleted, and fulfils *rule*.
- An attribute that the actor lacks, or that is of another type than the field, is NULL.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal, NoReturn

from ..classes import frozen
from ..entities.fields import Ref
from ..entities.money import Money
from ..errors import Invalid
from .actor import AttributeKind

Operator = Literal["eq", "ne", "lt", "le", "gt", "ge"]
SYMBOLS: Final[dict[Operator, str]] = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
MAX_VALUES: Final = 500
MAX_TEXT: Final = 10_000
_UNUSABLE = "[\x00\ud800-\udfff]"
_ATTRIBUTE = r"[A-Za-z][A-Za-z0-9_]{0,40}\Z"


@frozen(init=False, eq=False, repr=False)
class Rule:
    """A node of the closed predicate AST. Combine rules with ``&``, ``|`` and ``~``; compare fields with :class:`F`."""

    __match_args__: ClassVar[tuple[str, ...]] = ()

    # Written here once: to have them generated for each node costs a process that starts more than they save.
    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._parts() == self._parts()

    def __hash__(self) -> int:
        return hash((type(self), *self._parts()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in zip(self.__match_args__, self._parts(), strict=True))})"

    def __and__(self, other: Rule) -> Rule:
        return all_of([self, other]) if isinstance(other, Rule) else NotImplemented

    def __or__(self, other: Rule) -> Rule:
        return any_of([self, other]) if isinstance(other, Rule) else NotImplemented

    def __invert__(self) -> Rule:
        if isinstance(self, Not):
            return self.rule
        return nothing if self == everything else everything if self == nothing else Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a rule has no truth of its own: combine rules with &, | and ~ instead of and, or, not and chained comparisons")


class Everything(Rule):
    """Every record."""

    __slots__ = ()

    def __str__(self) -> str:
        return "everything"


class Nothing(Rule):
    """No record."""

    __slots__ = ()

    def __str__(self) -> str:
        return "nothing"


@frozen(eq=False, repr=False)
class And(Rule):
    """All of *rules* hold. Build it with ``&``, which keeps it flat."""

    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        return " & ".join(_grouped(r, Or) for r in self.rules)


@frozen(eq=False, repr=False)
class Or(Rule):
    """One of *rules* holds. Build it with ``|``, which keeps it flat."""

    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        return " | ".join(_grouped(r, And) for r in self.rules)


@frozen(eq=False, repr=False)
class Not(Rule):
    """*rule* does not hold, be it for a NULL."""

    rule: Rule

    def __str__(self) -> str:
        return f"~{_grouped(self.rule, (And, Or, Compare, Within))}"


@frozen(repr=False)
class ActorValue:
    """An attribute of the actor, known when the rule is applied. ``kind`` is filled in when the rule is bound to an entity."""

    attribute: str
    kind: AttributeKind | None = None

    def __repr__(self) -> str:
        return f"actor({self.attribute!r})"


@frozen(eq=False, repr=False)
class Compare(Rule):
    """A field against a constant or an attribute of the actor."""

    field: str
    operator: Operator
    value: Any

    def __str__(self) -> str:
        return f"{self.field} {SYMBOLS[self.operator]} {self.value!r}"


@frozen(eq=False, repr=False)
class Within(Rule):
    """A field is one of some constants, or one of the texts in a list attribute of the actor."""

    field: str
    values: tuple[Any, ...] | ActorValue

    def __str__(self) -> str:
        shown = self.values if isinstance(self.values, ActorValue) else list(self.values)
        return f"{self.field} in {shown!r}"


@frozen(eq=False, repr=False)
class IsNull(Rule):
    """A field has no value."""

    field: str

    def __str__(self) -> str:
        return f"{self.field} is null"


@frozen(eq=False, repr=False)
class StartsWith(Rule):
    """A text field begins with *prefix*, case and all."""

    field: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.field} starts with {self.prefix!r}"


class Owned(Rule):
    """The actor is the record's ``owner``."""

    __slots__ = ()

    def __str__(self) -> str:
        return "owner"


class SameTeam(Rule):
    """The record's owner shares a team with the actor. Who has a team shares it with oneself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "team"


class Subordinate(Rule):
    """The chain of managers of the record's owner reaches the actor, the actor included."""

    __slots__ = ()

    def __str__(self) -> str:
        return "subordinates"


@frozen(eq=False, repr=False)
class Shared(Rule):
    """The record was shared with the actor or one of the actor's teams for *action*. Policies add it; roles do not name it."""

    action: str
    entity: str

    def __str__(self) -> str:
        return f"shared for {self.action}"


@frozen(eq=False, repr=False)
class Related(Rule):
    """The record that *ref* points at fulfils *rule*. ``target`` is filled in when the rule is bound to an entity."""

    ref: str
    rule: Rule
    target: str = ""

    def __str__(self) -> str:
        return f"related({self.ref}, {self.rule})"


@frozen
class Seen(Rule):
    """The record whose id *record* holds is of an entity in *rules*, the one that *entity* names, and fulfils its rule.

    Policies add it to entities whose rows are seen with what they point at; roles do not name it.
    """

    record: str
    entity: str
    rules: tuple[tuple[str, Rule], ...]

    def __str__(self) -> str:
        return f"seen({self.record})"

    def rule(self, entity: Any) -> Rule:
        """Return what a record of an entity must fulfil."""
        return dict(self.rules).get(entity, nothing)


everything: Final[Rule] = Everything()
"""Hold for every record."""

nothing: Final[Rule] = Nothing()
"""Hold for no record."""

owner: Final[Rule] = Owned()
"""Hold where the record's owner is the actor."""

team: Final[Rule] = SameTeam()
"""Hold where the record's owner shares a team with the actor."""

subordinates: Final[Rule] = Subordinate()
"""Hold where the chain of managers of the record's owner reaches the actor, the actor included."""


def all_of(rules: Iterable[Rule]) -> Rule:
    """Join rules with AND: flat, each once, without ``everything``; ``nothing`` wins. No rules at all hold everywhere."""
    return _joined(And, rules, neutral=everything, winner=nothing)


def any_of(rules: Iterable[Rule]) -> Rule:
    """Join rules with OR: flat, each once, without ``nothing``; ``everything`` wins. No rules at all hold nowhere."""
    return _joined(Or, rules, neutral=nothing, winner=everything)


def _joined(node: type[And] | type[Or], rules: Iterable[Rule], *, neutral: Rule, winner: Rule) -> Rule:
    flat: dict[Rule, None] = {}
    for rule in rules:
        flat.update(dict.fromkeys(rule.rules if isinstance(rule, node) else [rule]))
    flat.pop(neutral, None)
    if winner in flat:
        return winner
    return node(tuple(flat)) if len(flat) > 1 else next(iter(flat), neutral)


def _grouped(rule: Rule, kinds: type[Rule] | tuple[type[Rule], ...]) -> str:
    return f"({rule})" if isinstance(rule, kinds) else str(rule)


class F:
    """A field of the record in a rule: ``F("stage") == "new"``, ``F("amount") >= Money("1000", "EUR")``.

    Raises:
        Invalid: ``rule_value``, the value is of no type that rules compare with. Compare with NULL by ``is_null()``.
    """

    __slots__ = ("_field",)
    __hash__ = None  # type: ignore[assignment]  # == makes a rule

    def __init__(self, field: str) -> None:
        if not isinstance(field, str):
            raise Invalid("rule_value", field="field", given=type(field).__name__, expected="the name of a field")
        self._field = field

    def __eq__(self, value: Any) -> Rule:  # type: ignore[override]  # a rule, as SQLAlchemy's columns do
        return self._compare("eq", value)

    def __ne__(self, value: Any) -> Rule:  # type: ignore[override]  # a rule, as SQLAlchemy's columns do
        return self._compare("ne", value)

    def __lt__(self, value: Any) -> Rule:
        return self._compare("lt", value)

    def __le__(self, value: Any) -> Rule:
        return self._compare("le", value)

    def __gt__(self, value: Any) -> Rule:
        return self._compare("gt", value)

    def __ge__(self, value: Any) -> Rule:
        return self._compare("ge", value)

    def in_(self, values: Sequence[Any] | ActorValue) -> Rule:
        """Be one of at most 500 constants, or of the texts in the actor's attribute: ``F("region").in_(actor("regions"))``."""
        if isinstance(values, ActorValue):
            return Within(self._field, values)
        if isinstance(values, str | bytes) or not isinstance(values, Sequence) or len(values) > MAX_VALUES:
            raise Invalid("rule_value", field=self._field, given=type(values).__name__, expected=f"a list of at most {MAX_VALUES} values")
        return Within(self._field, tuple(constant(self._field, v) for v in values)) if values else nothing

    def is_null(self) -> Rule:
        """Have no value."""
        return IsNull(self._field)

    def startswith(self, prefix: str) -> Rule:
        """Begin with *prefix*; case matters and no character is special."""
        if not isinstance(prefix, str):
            raise Invalid("rule_value", field=self._field, given=type(prefix).__name__, expected="text")
        return StartsWith(self._field, constant(self._field, prefix))

    def _compare(self, operator: Operator, value: Any) -> Rule:
        return Compare(self._field, operator, value if isinstance(value, ActorValue) else constant(self._field, value))


class Custom(F):
    """A custom field of the record in a rule, and in an order: ``custom("region") == "EU"``, ``order_by(custom("region").desc())``."""

    __slots__ = ("descending",)

    def __init__(self, name: str, *, descending: bool = False) -> None:
        super().__init__(f"custom.{name}" if isinstance(name, str) else name)
        self.descending = descending

    @property
    def field(self) -> str:
        """Its name among the fields of its entity."""
        return self._field

    def asc(self) -> Custom:
        """Sort by it, the least value first."""
        return Custom(self._field.removeprefix("custom."))

    def desc(self) -> Custom:
        """Sort by it, the greatest value first."""
        return Custom(self._field.removeprefix("custom."), descending=True)


def custom(name: str) -> Custom:
    """Name a custom field of the tenant: in ``where``, ``order_by`` and in the rules of segments and automation."""
    return Custom(name)


def constant(field: str, value: Any) -> Any:
    """Return *value* in the plain form that rules keep: an enum's value, a reference's id, others as they are."""
    value = plain(value)
    if isinstance(value, str):
        good = len(value) <= MAX_TEXT and (value.isprintable() or not re.search(_UNUSABLE, value))
    elif isinstance(value, Decimal):
        good = value.is_finite()
    elif isinstance(value, datetime):
        good = value.tzinfo is not None
    else:
        good = isinstance(value, bool | int | date | Money)
    if not good:
        expected = f"text up to {MAX_TEXT} characters, bool, int, Decimal, Money, date, aware datetime, enum or Ref; is_null() for None"
        raise Invalid("rule_value", field=field, given=type(value).__name__, expected=expected)
    return value


def plain(value: Any) -> Any:
    """Return a field's value as rules compare it."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    return value.id if isinstance(value, Ref) else value


def actor(attribute: str) -> ActorValue:
    """Return a value of whoever acts, for comparisons: ``F("region") == actor("region")``."""
    if not isinstance(attribute, str) or not re.match(_ATTRIBUTE, attribute):
        raise Invalid("rule_value", field="actor", given=repr(attribute)[:60], expected="an attribute name of letters, digits and _")
    return ActorValue(attribute)


def related(ref: str, rule: Rule) -> Rule:
    """Hold where the record that the field *ref* points at fulfils *rule*: ``related("account", owner)``. One hop, no further."""
    if not isinstance(rule, Rule) or any(isinstance(node, Related | Shared) for node in walk(rule)):
        raise Invalid("rule_value", field=ref, given=str(rule)[:60], expected="a rule on the related record itself, without a further hop")
    return nothing if rule == nothing else Related(ref, rule)


def walk(rule: Rule) -> Iterable[Rule]:
    """Yield the nodes of a rule, the outer before the inner, however deep; of ``Seen``, whose rules are of many entities, itself alone."""
    stack = [rule]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, And | Or):
            stack.extend(reversed(node.rules))
        elif isinstance(node, Not | Related):
            stack.append(node.rule)
