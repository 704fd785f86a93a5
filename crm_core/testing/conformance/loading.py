"""Rules of loading: alone, in use, twice, beside others, and gone again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...entities.meta import spec
from ...errors import CRMError, LoadError, PluginFailed
from ...hooks.core_specs import CORE
from ..databases import Databases
from .exercise import SETUP, Exercise, exercised
from .rule import rule
from .subject import Subject

# Whose rule a plugin breaks that cannot be loaded; all else is that of loading.
RULE_OF_CODE = {
    "name_unprefixed": "CK06",
    "requirement_undeclared": "CK08",
    "not_declared": "CK08",
    "bad_grant": "CK09",
    "grant_unknown": "CK09",
}


@rule("CK01", "loads-alone")
def loads_alone(subject: Subject) -> Iterator[str]:
    """It loads with what it requires and nothing else, makes its tables, and delivers."""
    error = subject.load_error
    if error is not None:
        if error.code == "port_missing":
            port = error.params["port"]
            yield f"it needs the port {port}, and the kit has none: give it one in tests/conformance.py, by a function @example({port})"
        elif error.code not in RULE_OF_CODE:
            yield f"it does not load: {error}"
        return
    try:
        with subject.crm() as crm:
            crm.migrations.check()
            crm.run_pending()
    except CRMError as e:
        yield f"it loads, but {type(e).__name__}: {e}"


@rule("CK02", "works")
def works(subject: Subject) -> Iterator[str]:
    """Each entity can be stored, and each action, subscriber, panel and job runs without failing, on each database."""
    yield from (t.text for t in subject.exercise.troubles if not t.denied)
    for name, source in subject.databases.items():
        if name != "sqlite" and not subject.exercise.troubles:
            yield from (f"on {name} {text}" for text in _works_on(subject, source))


def _works_on(subject: Subject, source: Databases) -> list[str]:
    database = source.create()
    try:
        with subject.crm(url=database.url) as crm:
            return [t.text for t in exercised(subject, crm).troubles]
    finally:
        source.drop(database)


@rule("CK03", "loads-twice")
def loads_twice(subject: Subject) -> Iterator[str]:
    """Two CRMs with it in one process do not see each other: the second works as the first did."""
    second = subject.second
    if second.strayed:
        yield f"what was done in one CRM reached another: {second.strayed[0]}; keep no CRM and no session outside of the call that got it"
    yield from _other_outcomes(subject.exercise, second.exercise)


def _other_outcomes(first: Exercise, second: Exercise) -> Iterator[str]:
    before = {str(t) for t in first.troubles}
    yield from (f"in a second CRM {t}; keep no state outside of the database" for t in second.troubles if str(t) not in before)
    for table, rows in first.state.items():
        if not second.troubles and len(rows) != len(second.state.get(table, [])):
            counts = f"{len(rows)} and {len(second.state.get(table, []))}"
            yield f"the same calls left {counts} rows in {table} of two CRMs; keep no state outside of the database"


@rule("CK04", "any-subset")
def any_subset(subject: Subject) -> Iterator[str]:
    """It loads beside every other plugin that is there, with each alone and with all, and its hooks on all records bear theirs."""
    for other in (p for p in subject.others if p not in subject.required):
        yield from _beside(subject, [other, *(p for p in subject.others if p.name in other.requires)])
    yield from _beside(subject, subject.others)
    if any(impl.hook.by_entity and impl.on is None for impl in subject.plugin.definitions.impls):
        yield from _among_strangers(subject)


def _among_strangers(subject: Subject) -> Iterator[str]:
    """Store a record of each entity of the core and of the other plugins, and yield where that fails by this plugin's fault."""
    theirs = [e for p in (CORE, *subject.others) for e in p.definitions.entities if not spec(e).name.startswith(("import", "automation"))]
    with subject.crm(*subject.others) as crm:
        for entity in theirs:
            factory = subject.factory()
            try:
                with crm.session(SETUP) as session:
                    factory.make(session, entity)
            except PluginFailed as e:
                if e.params.get("plugin") == subject.plugin.name:
                    yield f"beside others, a new {spec(entity).name} fails: {e}"
            except CRMError:
                continue


def _beside(subject: Subject, others: list[Any]) -> Iterator[str]:
    names = " and ".join(p.name for p in others) or "nothing"
    try:
        with subject.crm(*others, migrate=False):
            pass
    except LoadError as e:
        yield f"beside {names} it does not load: {e}"


@rule("CK05", "unloads")
def unloads(subject: Subject) -> Iterator[str]:
    """When its CRM is closed nothing stays: no thread, listener, handler, changed global, and no way back to the CRM."""
    before, after = subject.second.before, subject.second.after
    for name in sorted({n for ident, n in after.threads.items() if ident not in before.threads}):
        yield f"the thread {name} runs on after the CRM was closed; do the work in a job"
    if after.handlers != before.handlers:
        yield "a handler was added to the root logger; that is the host's to do"
    if after.filters != before.filters:
        yield "the filters of warnings changed; they are the host's"
    if after.listeners != before.listeners:
        yield "something listens to the engines or sessions of the whole process; the core's events and hooks tell of what is the CRM's"
    yield from (f"the {name} of the process changed" for name, value in before.process.items() if after.process[name] != value)
    if after.at_exit != before.at_exit:
        yield "a function was registered with atexit; it keeps the plugin in the process"
    yield from (f"the {what.replace('_', ' ')} of the process changed" for what in subject.second.changed)
    yield from (f"{name} of the core was replaced" for name, value in before.core.items() if after.core.get(name) != value)
    for name in sorted({**before.globals, **after.globals}):
        if before.globals.get(name) != after.globals.get(name):
            yield f"the global {name} changed while the plugin was used; keep what lasts in the database, and the rest in the call"
    if subject.second.held:
        yield "something still refers to the CRM after it was closed, such as a global, a listener or a cache keyed by it"
