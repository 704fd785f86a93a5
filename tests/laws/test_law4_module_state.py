"""Law 4: what a module keeps while a program runs is found in the source, and each piece has a reason to be there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "crm_core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])

# What may be kept, and why two CRMs of one process do not notice.
ALLOWED = {
    "crm_core/adoption/bulk.py event": "SQLAlchemy's listeners, set and taken off around a bulk write",
    "crm_core/adoption/made_keys.py event": "as of bulk, around an insert",
    "crm_core/adoption/returned.py event": "as of bulk, around a statement of the host's",
    "crm_core/cli/shell.py sys": "the command's own process: --app finds modules of the working folder, as python -m does",
    "crm_core/contracts/project.py sys": "as of the shell: the command finds the plugins of the working folder",
    "crm_core/custom_fields/defined.py _NONE": "what a tenant without custom fields has; it is never changed",
    "crm_core/entities/formats.py is_zone": "a function of its argument and this machine's zones",
    "crm_core/entities/meta.py _building": "guards the first look at an entity's columns",
    "crm_core/entities/meta.py cls": "an entity's definition, a function of its class body; its columns are made at the first look",
    "crm_core/entities/money.py WIDE": "a decimal context is held for its precision; nobody reads its flags",
    "crm_core/entities/money.py _EXACT": "as WIDE",
    "crm_core/entities/sealed.py _opener": "whose keys the statement that runs is for; set and reset around it, in its own context",
    "crm_core/entities/values.py _optional": "whether an extra is installed, which the process shares",
    "crm_core/deliveries.py _service": "an actor, a function of its words",
    "crm_core/events/event.py __event_locals__": "empty on the base; an event's own are set with its class",
    "crm_core/events/event.py cls": "an event's definition, a function of its class body",
    "crm_core/events/journal.py _parts": "a function of its text",
    "crm_core/ext/django/__init__.py view": "a view made for one route says which",
    "crm_core/ext/django/observing.py _asked": "the request that is answered, in its own context; whose it is the host's setting says",
    "crm_core/ext/django/pending.py _migrating": "whether Django's migrate runs in this context; set and reset around its checks",
    "crm_core/ext/flask.py g": "Flask's own, of one request",
    "crm_core/ext/flask.py view": "as in Django",
    "crm_core/settings.py _settings_converter": "a function of nothing",
    "crm_core/storage/revisions/steps.py _converter": "a function of nothing",
    "crm_core/storage/sqlite.py _queues": "a file is one however many CRMs open it, so its line is; it goes with the last",
    "crm_core/storage/sqlite.py _queues_lock": "guards _queues",
    "crm_core/testing/conformance/declaring.py _distributions": "which packages are installed, which the process shares",
    "crm_core/testing/conformance/given.py sys": "as of the shell: the kit finds the vendor's tests in the working folder",
    "crm_core/testing/conformance/wording.py core_codes": "a function of nothing",
    "crm_core/testing/crashes.py event": "SQLAlchemy's listeners, set and taken off around a test",
    "crm_core/testing/plugin.py _digests": "of schemas, by the classes that make them, in a tests' process",
    "plugins/erp_bridge/crm_erp_bridge/reconcile.py _EXACT": "as WIDE",
    "plugins/marketing/crm_marketing/attribution.py _PRECISE": "as WIDE",
    "plugins/service/crm_service/scoring.py _EXACT": "as WIDE",
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
CACHES = {"cache", "lru_cache"}
# What is made to hold state; a table of constants is written out in full.
KEEPERS = {
    *(
        "dict",
        "list",
        "set",
        "bytearray",
        "defaultdict",
        "Counter",
        "deque",
        "OrderedDict",
        "ChainMap",
        "SimpleNamespace",
        "count",
        "cycle",
    ),
    *(
        "WeakKeyDictionary",
        "WeakValueDictionary",
        "WeakSet",
        "ContextVar",
        "local",
        "Lock",
        "RLock",
        "Condition",
        "Event",
        "Queue",
        "Context",
    ),
}
CHANGES = {
    *("append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse", "appendleft", "popleft"),
    *("add", "discard", "update", "setdefault", "__setitem__", "set"),
}


def kept(source: str) -> Iterator[str]:
    """Yield the names of what a module keeps: made to be filled, cached, or changed by its functions."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from (node.name for decorator in node.decorator_list if _called(decorator) in CACHES)
    for body in (tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))):
        yield from _holders(body)
    yield from _changed(tree, None, _modules(tree))


def _holders(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements of a module or class bind to something empty, to a cache, or to what is made to hold state."""
    for node in body:
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        empty = (isinstance(value, ast.Dict) and not value.keys) or (isinstance(value, (ast.List, ast.Set)) and not value.elts)
        if value is not None and (empty or (isinstance(value, ast.Call) and _called(value) in KEEPERS | CACHES)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]  # type: ignore[attr-defined]  # one of the two
            yield from (ast.unparse(target) for target in targets)


def _called(node: ast.expr) -> str:
    """Return the last name of what is called: ``lru_cache`` of ``functools.lru_cache(8)(fn)``."""
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _changed(node: ast.AST, own: frozenset[str] | None, modules: frozenset[str]) -> Iterator[str]:
    """Yield the names from outside all functions whose items or attributes one sets, or on which one calls what changes a container.

    Args:
        own: the names of the functions around; None outside of any.
        modules: the names that are modules: a call on one is of its function.
    """
    if isinstance(node, FUNCTIONS):
        own = (own or frozenset()) | _own(node)
    if own is not None:
        place = _place(node, modules)
        if isinstance(place, ast.Name) and place.id not in own:
            yield place.id
    for inner in ast.iter_child_nodes(node):
        yield from _changed(inner, own, modules)


def _own(function: ast.AST) -> frozenset[str]:
    """Return the names that a function binds. A class is not its method's own: what is set on it, all see."""
    own = {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)} - {"cls"}
    own |= {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    own |= {a.asname or a.name for n in ast.walk(function) if isinstance(n, ast.ImportFrom) for a in n.names}
    own |= {n.name for n in ast.walk(function) if isinstance(n, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and n.name}
    return frozenset(own - {name for n in ast.walk(function) if isinstance(n, ast.Global) for name in n.names})


def _place(node: ast.AST, modules: frozenset[str]) -> ast.expr | None:
    """Return what is changed, at its root: ``kept`` of ``kept.by[key].append(value)``."""
    if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        place: ast.expr = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
        place = node.func.value
        if isinstance(place, ast.Name) and place.id in modules:
            return None
    else:
        return None
    while isinstance(place, (ast.Subscript, ast.Attribute)):
        place = place.value
    return place


def _modules(tree: ast.Module) -> frozenset[str]:
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import) or (isinstance(n, ast.ImportFrom) and n.module is None)]
    return frozenset(alias.asname or alias.name for node in imports for alias in node.names)


def test_nothing_is_kept_in_modules_but_what_has_a_reason() -> None:
    found = {f"{path.relative_to(ROOT).as_posix()} {name}" for path in SOURCES for name in kept(path.read_text(encoding="utf-8"))}
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "source",
    [
        "kept = {}",
        "kept: dict[str, int] = {}",
        "kept = []",
        "kept = set()",
        "kept = collections.defaultdict(list)",
        "kept = WeakValueDictionary()",
        "kept = threading.local()",
        "kept = ContextVar('kept')",
        "kept = functools.lru_cache(8)(make)",
        "class Room:\n    kept = []",
        "@cache\ndef kept(): ...",
        "@functools.lru_cache(maxsize=8)\ndef kept(x): ...",
        "class Room:\n    @lru_cache\n    def kept(self): ...",
        "kept = 0\ndef f():\n    global kept\n    kept = 1",
        "kept = {1: 2}\ndef f():\n    kept[3] = 4",
        "kept = {1: 2}\ndef f():\n    del kept[1]",
        "kept = {1: 2}\ndef f():\n    kept[1] += 1",
        "kept = [1]\ndef f():\n    for x in y:\n        kept.append(x)",
        "kept = {1: [2]}\nf = lambda x: kept[1].append(x)",
        "kept = Thing()\ndef f():\n    kept.last = 1",
        "from .rooms import kept\ndef f():\n    kept.by[1].add(2)",
        "import kept\ndef f():\n    kept.limit = 1",
        "from . import kept\ndef f():\n    kept.lines.append(1)",
        "class Room:\n    @classmethod\n    def f(kept):\n        pass\n    kept = dict()",
    ],
)
def test_the_search_sees_every_form_of_state(source: str) -> None:
    assert set(kept(source)) == {"kept"}


@pytest.mark.parametrize(
    "source",
    [
        "TABLE = {1: 2}\ndef f(x):\n    return TABLE[x]",
        "TABLE = (1, 2)",
        "def f(lines):\n    lines.append(1)",
        "def f():\n    lines = []\n    def g():\n        lines.append(1)\n    return g",
        "class Room:\n    def f(self):\n        self.lines.append(1)\n        self.last = 1",
        "from . import parking\ndef f(x):\n    parking.add(x)",
        "def f():\n    try:\n        g()\n    except E as e:\n        e.place = 1",
        "class Room:\n    def f(self):\n        return lambda x: self.lines.append(x)",
    ],
)
def test_the_search_lets_constants_and_a_function_s_own_pass(source: str) -> None:
    assert list(kept(source)) == []
