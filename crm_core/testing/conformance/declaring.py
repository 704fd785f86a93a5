"""Rules of declarations: what a plugin says it needs and offers is what it uses and does."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, requires
from typing import Any

from ...entities.entity import Entity
from ...entities.meta import extension_fields, spec
from ...events.event import Event, event_name, subject_of, unmarked
from ..factory import event_fields
from .exercise import Exercise
from .loading import RULE_OF_CODE
from .rule import rule
from .source import Source
from .subject import Subject

PUBLIC = ("crm_core", "crm_core.ports", "crm_core.rules", "crm_core.testing", "crm_core.ext")
_BEHIND = frozenset({"bound", "codec", "table", "tables", "writer"})
_ASKED = frozenset({"can", "permits", "permits_alone", "check_action"})


@rule("CK08", "requires")
def requires_what_it_imports(subject: Subject) -> Iterator[str]:
    """It requires the plugins whose api it imports and no others, and of the core it knows what is public."""
    error = subject.load_error
    if error is not None and RULE_OF_CODE.get(error.code) == "CK08":
        yield str(error)
        return
    packages = _packages(subject)
    used: set[str] = set()
    for module, where in subject.source.imports():
        package = module.partition(".")[0]
        if package == "crm_core" and not any(module == p or module.startswith(f"{p}.") for p in PUBLIC[1:]) and module != PUBLIC[0]:
            yield f"{where} imports {module}, which is not public and may change: import from crm_core"
        elif package in packages:
            used.add(packages[package])
            if packages[package] not in subject.plugin.requires:
                yield f"{where} imports {module}: add {packages[package]!r} to requires="
            elif module != f"{package}.api":
                yield f"{where} imports {module}; of another plugin only {package}.api is public"
    yield from _reached(subject.source)
    unused = (
        set(subject.plugin.requires)
        - used
        - {"core", *(p.name for p in subject.hosts)}
        - {g.partition(".")[0] for g in subject.plugin.definitions.grants}
    )
    yield from (f"requires= names {name!r}, and nothing of it is used" for name in sorted(unused))


def _reached(source: Source) -> Iterator[str]:
    """Yield where the code reaches for what the core keeps to itself: a private name of its classes, or what is behind ``session.crm``."""
    from ...crm import CRM
    from ...session import Session

    private = {
        n for kind in (CRM, Session, Entity) for each in kind.__mro__ for n in vars(each) if n.startswith("_") and not n.endswith("__")
    }
    private = (private | {"_unit"}) - _own_names(source)
    for name, tree in source.modules.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            whose = ast.unparse(node.value)
            mine = whose in ("self", "cls", "super()") or whose.startswith("self._")
            behind = node.attr in _BEHIND and whose.rpartition(".")[2] == "crm"
            if behind or (not mine and node.attr in private):
                yield f"{source.where(name, node)} reaches for {ast.unparse(node)}, which is not public: use the session's verbs"


def _own_names(source: Source) -> set[str]:
    """Return what the plugin's own classes have: names of functions, and of attributes that are set."""
    found: set[str] = set()
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return found


def _packages(subject: Subject) -> dict[str, str]:
    """Return the plugins that are there by the packages they are in, but for its own."""
    own = subject.source.root.partition(".")[0]
    found = {p.value.partition(":")[0].partition(".")[0]: p.name for p in entry_points(group="crm.plugins")}
    found |= {Source(p).root.partition(".")[0]: p.name for p in (*subject.others, *subject.required)}
    return {package: name for package, name in found.items() if package != own}


@rule("CK09", "declared-is-used")
def declared_is_used(subject: Subject) -> Iterator[str]:
    """Its grants, permissions, hooks, events and settings are those that it uses, neither more nor fewer.

    What was used in the kit's run is used; of what the run did not reach the source tells.
    """
    error = subject.load_error
    if error is not None:
        if RULE_OF_CODE.get(error.code) == "CK09":
            yield str(error)
        return
    yield from _grants(subject, subject.exercise)
    yield from _permissions(subject)
    d, source, used = subject.plugin.definitions, subject.source, subject.exercise.used
    called, mentioned = _called(source), _mentioned(source)
    read = []
    for hook in d.hooks:
        names = {name for module in source.loaded for name, value in vars(module).items() if value is hook}
        if hook.name not in used.hooks:
            read.append(f"the hook {hook.name}")
            if not names & called:
                yield f"the hook {hook.name} is declared and never called"
    for event in d.events:
        if event_name(event) not in used.events:
            read.append(f"the event {event_name(event)}")
            if event.__name__ not in mentioned:
                yield f"the event {event_name(event)} is declared and never published"
    if read:
        subject.note(f"the kit's run did not use {', '.join(read)}; of these the source was read")
    if subject.plugin.settings is not None:
        fields = getattr(subject.plugin.settings, "__attrs_attrs__", ())
        known = source.names | _signing(source)
        yield from (f"the setting {a.name} is declared and never read" for a in fields if a.name not in known)


def _signing(source: Source) -> set[str]:
    """Return the settings whose secret ``signed(Settings, "secret", ...)`` reads."""
    calls = (node for node in source.nodes if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "signed")
    given = (value for call in calls for value in (*call.args[1:2], *(k.value for k in call.keywords if k.arg == "name")))
    return {value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)}


def _grants(subject: Subject, exercise: Exercise) -> Iterator[str]:
    for trouble in exercise.troubles:
        if trouble.denied:
            yield f"{trouble}; declare what it needs with plugin.grants(...)"
    with subject.crm(migrate=False) as crm:
        classes = {spec(e).name: e.__name__ for e in crm.registry.entities}
    sources = [subject.source, *map(Source, subject.hosts)]
    names, texts = {n for s in sources for n in s.names}, {t for s in sources for t in s.texts}
    names |= {e.__name__ for e in map(subject_of, (s.event for s in subject.plugin.definitions.subscriptions)) if e is not None}
    for grant in subject.plugin.definitions.grants:
        entity = grant.partition(":")[0]
        if any(asked == entity for _, asked in exercise.used.granted):
            names |= {classes.get(entity, "")}
        if entity in classes and classes[entity] not in names and entity not in texts:
            yield f"the grant {grant!r} is declared, and nothing in the code is about {classes[entity]}"
        for action in grant.partition(":")[2].split(","):
            seen = (action.strip(), entity) in exercise.used.granted
            if not seen and (verbs := _VERBS.get(action.strip())) and not verbs & names:
                yield f"the grant {grant!r} is declared, and nothing in the code does {action.strip()}: take {entity}:{action.strip()} off"


# What a plugin calls to do it; other plugins' services and actions do all of it with the caller's grants.
_OTHERS = frozenset({"use", "perform"})
_VERBS = {
    "create": frozenset({"create", "create_many", "upsert", "save", *_OTHERS}),
    "update": frozenset({"update", "update_where", "upsert", "save", "restore", *_OTHERS}),
    "delete": frozenset({"delete", *_OTHERS}),
}


def _permissions(subject: Subject) -> Iterator[str]:
    plugin, source = subject.plugin, subject.source
    declared = {a.permission for a in plugin.definitions.actions}
    known = declared | {f"{plugin.name}.settings"} | _asked(source) | subject.exercise.used.permissions
    given: set[str] = set()
    for role in plugin.definitions.roles:
        own = {p for p in (*role.permissions, *(a for g in role.grants for a in g.actions)) if p.startswith(f"{plugin.name}.")}
        given |= own
        yield from (f"the role {role.name} permits {p!r}, which no action asks for" for p in sorted(own - known))
    if plugin.definitions.roles:
        yield from (f"the permission {p!r} is asked for, and no role of the plugin gives it" for p in sorted(declared - given))


def _asked(source: Source) -> set[str]:
    calls = (n for n in source.nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in _ASKED)
    return {a.value for call in calls for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}


def _called(source: Source) -> set[str]:
    """Return the names that are called, or of which something is called: ``check_discount.refusals(...)``."""
    calls = (node for node in source.nodes if isinstance(node, ast.Call))
    return {part for call in calls for part in ast.unparse(call.func).split(".")}


def _mentioned(source: Source) -> set[str]:
    """Return the names that are read anywhere but in ``plugin.events(...)``, ``plugin.on(...)`` and what functions say of their types."""
    apart: set[int] = set()
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("events", "on"):
            apart |= {id(name) for arg in node.args for name in ast.walk(arg)}
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            apart |= {id(name) for name in ast.walk(node.annotation)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            apart |= {id(name) for name in ast.walk(node.returns)}
    return {n.id for n in source.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and id(n) not in apart}


# -- personal data ----------------------------------------------------------------------------------------------------------------

_PERSONAL = re.compile(
    r"(^|_)((e_?)?mails?|(tele)?phones?(_(no|number))?|tel|mobiles?(_(no|number))?|fax|cell|dob|birth\w*|(sur|nick|user)?name|iban|account_number"
    r"|passport(_no|_number)?|ssn|social_security(_number)?|(national|personal|tax)_(id|number)|licen[cs]e_plate|gender|religion|ethnicity"
    r"|nationality|diagnosis|blood_type|address(es)?|street|postal_code|zip(_code)?|latitude|longitude|lat|lng|geo|ip(_address)?)$"
)


_SPEAKING = frozenset({"str", "text", "date", "json", "int", "decimal"})


@rule("CK14", "personal-data")
def personal_data(subject: Subject) -> Iterator[str]:
    """A field that is called or typed like something about a person says how it is classified. An event marks what it tells of one."""
    d = subject.plugin.definitions
    fields = [(e.__name__, f) for e in d.entities for f in spec(e).fields.values()]
    fields += [(x.__name__, f) for _, x in d.extensions for f in extension_fields(x).values()]
    for owner, field in fields:
        looks = field.kind == "list" and field.type.__name__ in ("Email", "Phone", "Address")
        looks = looks or (field.kind in _SPEAKING and _PERSONAL.search(field.name) is not None)
        if looks and not field.system and not field.options.classification_said:
            yield f'{owner}.{field.name} looks like personal data: say field(classified="personal"), or "internal" if it is about nobody'
    for event in d.events:
        for name in unmarked(event):
            yield f'{event.__name__}.{name} is a personal field of its record: say class {event.__name__}(..., personal=("{name}",))'
        for name in sorted(set(event_fields(event)) - {"record"} - event.__event_personal__ - set(unmarked(event))):
            if _PERSONAL.search(name) and name not in _of_record(event):
                yield f'{event.__name__}.{name} looks like personal data: say class {event.__name__}(..., personal=("{name}",))'


def _of_record(event: type[Event[Any]]) -> Mapping[str, Any]:
    """Return the fields of the record that an event is about: what is personal of them is said there."""
    entity = subject_of(event)
    return {} if entity is None else spec(entity).fields


# -- what it is built upon --------------------------------------------------------------------------------------------------------


@rule("CK13", "optional-dependencies")
def optional_dependencies(subject: Subject) -> Iterator[str]:
    """Without the packages that it does not require it is imported, loads and makes its tables; only what needs them fails."""
    wanted = sorted(_optional(subject))
    if not wanted:
        return
    problem = _run_without(subject, wanted)
    for module in wanted if problem else []:
        alone = _run_without(subject, [module]) if len(wanted) > 1 else problem
        if alone:
            yield f"without {module} it does not load ({alone}): import it where it is used, and raise MissingExtra there"


def _optional(subject: Subject) -> set[str]:
    """Return the packages that it imports and that its distribution does not install."""
    known = {"crm_core", subject.source.root.partition(".")[0], *_packages(subject), *sys.stdlib_module_names}
    found = {module.partition(".")[0] for module, _ in subject.source.imports()} - known - {""}
    return found - _installed_with(subject.source.root.partition(".")[0]) if found else found


def _installed_with(package: str) -> set[str]:
    """Return the import names of what a package's distribution, and the core, always bring."""
    modules = _distributions()
    names = {d for p in (package, "crm_core") for d in modules.get(p, [])}
    needed = {
        re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-") for d in names for line in _lines(d) if "extra ==" not in line
    }
    needed |= {"attrs", "sqlalchemy", "pluggy", "cattrs", "alembic", "cryptography"}
    return {module for module, owners in modules.items() if needed & {o.lower().replace("_", "-") for o in owners}}


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the distributions of each import name; reading them all takes a while."""
    return packages_distributions()


def _lines(distribution: str) -> list[str]:
    try:
        return requires(distribution) or []
    except PackageNotFoundError:
        return []


_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({modules!r}))
from importlib import import_module
from crm_core import CRM
def get(module, name):
    return getattr(import_module(module), name)
def stub(port):
    return type(port.__name__, (), {{name: print for name in dir(port) if name[0] != "_"}})()
plugins = [get(*each) for each in {plugins!r}]
ports = dict.fromkeys(port for plugin in plugins for port in plugin.definitions.ports)
crm = CRM("sqlite://", plugins=plugins, ports=[stub(port) for port in ports])
crm.migrate()
crm.close()
"""


def _run_without(subject: Subject, modules: list[str]) -> str:
    """Load it in a process of its own, in which *modules* cannot be imported; return what went wrong."""
    import os
    import subprocess

    plugins = [_place(p) for p in (*subject.required, subject.plugin)]
    program = _WITHOUT.format(modules=modules, plugins=plugins)
    path = os.pathsep.join(p for p in sys.path if p)
    run = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    return run.stderr.strip().splitlines()[-1] if run.returncode else ""


def _place(plugin: object) -> tuple[str, str]:
    """Name the module that holds a plugin, and its name there."""
    root = sys.modules[Source(plugin).root]  # type: ignore[arg-type]  # a Plugin
    return root.__name__, next(name for name, value in vars(root).items() if value is plugin)
