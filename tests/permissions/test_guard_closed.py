"""The guard's lists from the other side: whatever SQLAlchemy or the databases know is let in on purpose, or refused with a typed error."""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import functions, operators
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import ClauseElement, quoted_name
from sqlalchemy.types import TypeEngine

from crm_core.entities import columns as own
from crm_core.entities import sqltypes as own_types
from crm_core.errors import CRMError, Refused
from crm_core.permissions.guard import _children, guard
from crm_core.permissions.views import OPTION
from crm_core.testing.databases import Database
from tests.figures import figure
from tests.permissions.lens_forms import read_forms
from tests.permissions.lens_world import KINDS, Company, Deal, Firm


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Each was looked at: what it renders is built from its children, which are walked, and from names, which are quoted.
ELEMENTS = _words("""
    Alias AsBoolean BinaryExpression BindParameter BooleanClauseList CTE Case Cast ClauseList CollationClause ColumnClause CompoundSelect
    Exists ExpressionClauseList Extract False_ ForUpdateArg FrameClause FromGrouping Function FunctionFilter Grouping Join Label Lateral
    Null OrderByList Over ScalarSelect Select SelectStatementGrouping Subquery True_ Tuple TypeClause TypeCoerce UnaryExpression
    _MemoizedSelectEntities _OffsetLimitParam _label_reference _textual_label_reference
    aggregate_strings coalesce count cume_dist dense_rank max min percent_rank rank sum
""")
FUNCTIONS = _words("""
    abs aggregate_strings avg coalesce count cume_dist dense_rank first_value lag last_value lead length lower ltrim max min nth_value ntile
    nullif percent_rank rank replace round row_number rtrim substr sum trim upper
""")
OPERATORS = _words("""
    add and_ asc_op between_op collate comma_op concat_op contains_op desc_op distinct_op endswith_op eq exists filter_op floordiv ge gt
    icontains_op iendswith_op ilike_op in_op inv is_ is_distinct_from is_false is_not is_not_distinct_from is_true istartswith_op
    json_getitem_op json_path_getitem_op le like_op lt mod mul ne neg not_between_op not_contains_op not_endswith_op not_icontains_op
    not_iendswith_op not_ilike_op not_in_op not_istartswith_op not_like_op not_startswith_op nulls_first_op nulls_last_op or_ startswith_op
    sub truediv
""")
TYPES = _words("""
    BigInteger Boolean CHAR Date Float Integer JSON JSONElementType JSONIntIndexType JSONPathType JSONStrIndexType NullType Numeric
    SmallInteger String Text TupleType Unicode
""")
OWN_TYPES = frozenset({"DecimalType", "EnumType", "IdType", "InstantType", "IntegerType", "JsonType", "ListType", "MoneyType", "RefType"})
# What reads files, other sessions, settings, time or chance, or runs SQL that it is given.
DANGEROUS = _words("""
    convert_to current_database current_setting current_user currval database_to_xml date datetime dblink dblink_exec eval fileio_ls
    fsdir fts3_tokenizer generate_series getpgusername gen_random_uuid has_table_privilege inet_server_addr json_each json_tree julianday
    last_insert_rowid like lo_export lo_get lo_import lo_put load_extension localtimestamp lsdir nextval now pg_advisory_lock
    pg_backend_pid pg_cancel_backend pg_export_snapshot pg_file_write pg_get_viewdef pg_ls_dir pg_notify pg_read_binary_file pg_read_file
    pg_reload_conf pg_rotate_logfile pg_sleep pg_sleep_for pg_stat_file pg_switch_wal pg_terminate_backend pg_typeof printf query_to_xml
    query_to_xml_and_xmlschema random randomblob readfile regexp_matches schema_to_xml session_user set_config setseed setval
    sqlite_compileoption_get sqlite_log sqlite_source_id sqlite_version strftime system table_to_xml total_changes ts_stat txid_current
    unistr version writefile xmlparse xpath zeroblob
""")


def _loaded() -> None:
    for package in (sa.sql, postgresql, sqlite, sa.orm):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if (
                ".asyncpg" not in module.name
                and "psycopg" not in module.name
                and "pg8000" not in module.name
                and "provision" not in module.name
            ):
                importlib.import_module(module.name)


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    for found in kind.__subclasses__():
        yield found
        yield from _below(found)


def _of_sqlalchemy(kind: type[Any]) -> list[type[Any]]:
    _loaded()
    return sorted({c for c in _below(kind) if c.__module__.startswith("sqlalchemy.")}, key=lambda c: (c.__module__, c.__name__))


def _nobody(_: Any) -> bool:
    return False


def test_every_kind_of_element_is_let_in_on_purpose_or_refused() -> None:
    """[S2] A version of SQLAlchemy with a new kind fails here until somebody looked at it; out it stays in any case."""
    kinds = _of_sqlalchemy(ClauseElement)
    allowed = [c for c in kinds if c.__name__ in ELEMENTS]
    assert {c.__name__ for c in allowed} >= ELEMENTS - {"_MemoizedSelectEntities"}
    passed = []
    for kind in kinds:
        try:
            guard(object.__new__(kind), _nobody)
        except Refused as e:
            if e.code == "forbidden_element" and e.params["element"] == kind.__name__ and kind.__name__ not in ELEMENTS:
                continue
        except (AttributeError, TypeError, RecursionError):  # an empty object of an allowed kind has none of its attributes
            pass
        passed.append(kind)
    wrong = {c for c in passed if c not in allowed}
    assert not wrong, f"let in, and not by purpose: {wrong}"
    subclasses = [c for c in passed if sum(c.__name__ == other.__name__ for other in kinds) > 1]
    assert not subclasses, "a name on the list stands for one class alone"
    figure("S2 element kinds", database="any", cases=len(kinds), result=f"{len(allowed)} let in on purpose, others refused", bar="all")


def _refused(statement: Any) -> bool:
    try:
        guard(statement, _nobody)
    except CRMError:
        return True
    return False


def test_every_function_that_sqlalchemy_or_the_database_knows_is_let_in_on_purpose_or_refused(database: Database) -> None:
    """[S2] All of pg_proc, all of pragma_function_list, SQLAlchemy's registry, and what is known to be dangerous."""
    asked = "SELECT DISTINCT name FROM pragma_function_list" if database.kind == "sqlite" else "SELECT DISTINCT proname FROM pg_proc"
    with database.engine().connect() as connection:
        known = set(connection.exec_driver_sql(asked).scalars())
    _loaded()
    names = sorted(known | set(functions._registry["_default"]) | set(DANGEROUS) | {n.upper() for n in DANGEROUS})
    passed, built = set(), 0
    for name in names:
        for arguments in ((), (Deal.name,), (Deal.name, Deal.name)):
            try:
                call: Any = getattr(func, name)(*arguments)
            except (TypeError, AttributeError, ValueError, sa.exc.ArgumentError, AssertionError):
                continue
            if isinstance(call, ClauseElement):
                built += 1
                if not _refused(call):
                    passed.add(name)
    assert passed <= FUNCTIONS, passed - FUNCTIONS
    assert not passed & set(DANGEROUS)
    assert len(names) > (100 if database.kind == "sqlite" else 2000)
    figure("S2 functions", database=database.kind, cases=len(names), result=f"{len(passed)} let in on purpose, others refused", bar="all")


def test_every_operator_is_let_in_on_purpose_or_refused() -> None:
    modules = (operators.__name__, "_operator")
    known: set[Any] = {f for f in vars(operators).values() if inspect.isroutine(f) and getattr(f, "__module__", "") in modules}
    passed = set()
    for used in known:
        element: Any = sa.BinaryExpression(Deal.name, sa.literal("x"), operators.eq)
        element.operator = used
        if not _refused(select(element)):
            passed.add(used)
    assert {f.__name__ for f in passed} == OPERATORS
    assert len(passed) == len(OPERATORS)
    figure("S2 operators", database="any", cases=len(known), result=f"{len(passed)} let in on purpose, others refused", bar="all")


def test_every_type_is_let_in_on_purpose_or_refused() -> None:
    passed = set()
    for kind in _of_sqlalchemy(TypeEngine):
        if not _refused(select(_typed(object.__new__(kind)))):
            passed.add(kind.__name__)
    assert passed <= TYPES, passed - TYPES
    for kind in {
        c for c in vars(own_types).values() if isinstance(c, type) and issubclass(c, TypeEngine) and c.__module__ == own_types.__name__
    }:
        assert kind.__name__ in OWN_TYPES, f"{kind} is new: is it for statements?"


def _typed(type_: Any) -> Any:
    label = Deal.name.label("x")
    label.type = type_
    return label


# -- what an allowed element carries ---------------------------------------------------------------------------------------------------

MARK = "crm_secret_mark"
LOOSE: tuple[Any, ...] = (sa.literal_column(MARK), sa.text(MARK), quoted_name(MARK, quote=False))


def _planted(value: Any, mark: Any) -> Iterator[Any]:
    """Yield what an attribute's value may become with the mark in it."""
    yield mark
    if isinstance(value, tuple | list):
        yield type(value)([*value, mark])
        yield (mark,)
        yield ((mark, {}),)
        yield ((mark, mark),)
    if isinstance(value, dict) or value is None:
        yield {"x": mark}
        yield {"*": {"x": mark}}


def _within(statement: Any) -> Iterator[Any]:
    seen: dict[int, Any] = {}
    todo = [statement]
    while todo:
        element = todo.pop()
        if id(element) in seen or isinstance(element, own.EntityTable):
            continue
        seen[id(element)] = element
        yield element
        todo.extend(element.get_children())


@pytest.fixture
def company(sqlite_databases: Any) -> Company:
    return Company(sqlite_databases.create().engine(), firms=1, deals=1)


def test_no_attribute_of_an_allowed_element_smuggles_sql_past_the_guard(company: Company) -> None:
    """[S2] Into every attribute of every kind of element that the read forms are made of, raw SQL is planted: it is refused, or it is
    not in what would run."""
    lens = company.lens(KINDS[0])
    done: set[tuple[type[Any], str]] = set()
    leaked: list[str] = []
    cases = refused = 0
    for name, statement in read_forms(Firm, Deal, "sqlite"):
        for element in list(_within(statement)):
            for attribute, value in list(vars(element).items()):
                if (type(element), attribute) in done or isinstance(value, ReadOnlyColumnCollection):
                    continue
                done.add((type(element), attribute))
                for mark in LOOSE:
                    for changed in _planted(value, mark):
                        vars(element)[attribute] = changed
                        cases += 1
                        try:
                            if MARK in _compiled(lens, statement):
                                leaked.append(f"{name}: {type(element).__name__}.{attribute} = {changed!r}")
                        except CRMError:
                            refused += 1
                        except Exception:  # what cannot be compiled runs nowhere
                            pass
                        vars(element)[attribute] = value
    figure("S2 planted SQL", database="sqlite", cases=cases, result=f"{refused} refused, {len(leaked)} in what would run", bar="0 run")
    assert not leaked, "\n".join(leaked)
    assert len(done) > 250
    assert refused > 500


def test_an_element_at_which_another_thread_looks_meanwhile_is_walked_all_the_same() -> None:
    label: Any = Deal.name.label("x")
    vars(label)["kept"], vars(label)["more"] = sa.literal(1), sa.literal(2)
    walked = []
    for n, child in enumerate(_children(label, listed=True)):
        vars(label)[f"kept_{n}"] = n
        walked.append(child[0])
    assert {id(vars(label)["kept"]), id(vars(label)["more"])} <= {id(child) for child in walked}


def _compiled(lens: Any, statement: Any) -> str:
    """Write what would run, and let it pass the guard; in this order, as the lens does."""
    fresh = copy.copy(statement)
    bound = fresh.execution_options(**{OPTION: lens._point})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bound._generate_cache_key()
        compiled = bound.compile(dialect=lens.dialect)
        lens.check(compiled.statement)
    return str(compiled)
