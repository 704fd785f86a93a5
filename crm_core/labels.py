"""What things are called: the message id of every name that people read, for forms, schemas, and front ends that take all at once.

An entity is called by its own name (``sales.lead``), a field ``<entity>.<field>`` and an option ``<entity>.<field>.<value>``. The fields
that every record has are ``core.field.<field>``; a field that a plugin adds to another's entity is ``<plugin>.<entity>.<field>``. Then
there are ``<plugin>.label``, ``<plugin>.event.<name>``, ``<plugin>.permission.<name>`` and ``<plugin>.setting.<name>``. Actions, panels,
figures, dimensions and roles name their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .entities.custom import CustomSpec
from .entities.fields import FieldSpec
from .entities.meta import extension_fields, spec
from .events.event import Created, Deleted, Restored, Updated, event_name
from .hooks.core_specs import CORE
from .hooks.measures import Source
from .messages import fallbacks
from .permissions.roles import ACTIONS

if TYPE_CHECKING:
    from .hooks.plugin import Plugin
    from .messages import Messages

_ID = re.compile(r"[a-z]\w*(\.\w+)*")
_VERBS = tuple(event.__event_verb__ for event in (Created, Updated, Deleted, Restored))
_OWN_PERMISSIONS = (*ACTIONS, "roles", "rollups")


def field_id(field: FieldSpec, entity: str, name: str) -> str:
    """Return the message id of a field; *name* is its own, an extension's is its column's."""
    if field.system:
        return f"core.field.{name}"
    plugin = field.extension.__crm_extends__[1] + "." if field.extension is not None else ""
    return f"{plugin}{entity}.{name}"


def field_words(messages: Messages, field: FieldSpec, entity: str, name: str, locale: str) -> str:
    """Return what a field is called in the words of *locale*; without a catalogue, its declared label or its name."""
    if isinstance(field, CustomSpec):
        return _in(field.words, locale) or _plain(field.short)
    return messages.template(field_id(field, entity, name), locale) or field.options.label or _plain(name)


def option_words(messages: Messages, field: FieldSpec, entity: str, name: str, locale: str) -> dict[Any, str]:
    """Return what the options of an enum field, or of a custom choice, are called, by their values."""
    if isinstance(field, CustomSpec):
        return {value: _in(called, locale) or value for value, called in field.choices.items()}
    code = field_id(field, entity, name)
    return {m.value: messages.template(f"{code}.{m.value}", locale) or _plain(m.name) for m in field.type}


def _in(labels: Mapping[str, str], locale: str) -> str | None:
    return next((labels[name] for name in fallbacks(locale) if name in labels), None)


def words(messages: Messages, plugins: Iterable[Plugin], locale: str) -> dict[str, str]:
    """Return what all that plugins name is called, by message id: in a catalogue, else where it is declared, else by its name."""

    def said(code: str) -> str:
        return messages.template(code, locale) or (_plain(code.rpartition(".")[2]) if _ID.fullmatch(code) else code)

    plugins = list(plugins)
    declared = {code: label for plugin in plugins for code, label in _declared(plugin)}
    return {code: messages.template(code, locale) or declared.get(code) or said(code) for plugin in plugins for code in ids(plugin)}


def ids(plugin: Plugin) -> Iterator[str]:
    """Yield the message ids of all that a plugin names; where it gives a label as plain text, that."""
    d = plugin.definitions
    yield f"{plugin.name}.label"
    for entity in d.entities:
        name = spec(entity).name
        yield name
        for field in spec(entity).fields.values():
            yield from _of_field(field, name, field.name)
    for entity, extension in d.extensions:
        for field in extension_fields(extension).values():
            yield from _of_field(field, spec(entity).name, field.column)
    yield from (each.label for each in (*d.actions, *d.panels, *d.figures, *d.dimensions, *d.roles))
    for source in d.figures:
        yield from source.dimensions.values() if isinstance(source, Source) else ()
    yield from (f"{plugin.name}.{part}" for part in _parts(plugin))


def _declared(plugin: Plugin) -> Iterator[tuple[str, str]]:
    """Yield what a plugin and its fields are called where they are declared, by message id."""
    if plugin.label != plugin.name:
        yield f"{plugin.name}.label", plugin.label
    for entity in plugin.definitions.entities:
        yield from ((field_id(f, spec(entity).name, f.name), f.options.label) for f in spec(entity).fields.values())
    for entity, extension in plugin.definitions.extensions:
        yield from ((field_id(f, spec(entity).name, f.column), f.options.label) for f in extension_fields(extension).values())


def _of_field(field: FieldSpec, entity: str, name: str) -> Iterator[str]:
    code = field_id(field, entity, name)
    yield code
    if field.kind == "enum":
        yield from (f"{code}.{member.value}" for member in field.type)


def _parts(plugin: Plugin) -> Iterator[str]:
    """Yield what stands behind the plugin's name in the ids of its events, permissions and settings."""
    d, own = plugin.definitions, len(plugin.name) + 1
    yield from (f"event.{verb}" for verb in (_VERBS if plugin is CORE else [event_name(e)[own:] for e in d.events]))
    permissions = _OWN_PERMISSIONS if plugin is CORE else dict.fromkeys(a.permission[own:] for a in d.actions)
    yield from (f"permission.{name}" for name in permissions)
    if plugin.settings is not None:
        yield "permission.settings"
        yield from (f"setting.{a.name}" for a in attrs.fields(plugin.settings))


def _plain(name: str) -> str:
    return name.replace("_", " ").capitalize()
