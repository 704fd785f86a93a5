"""Every error a caller can meet: data first (code, status, params, details), text only when asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .classes import frozen

if TYPE_CHECKING:
    from .messages import Messages

MOST_TOLD = 40


@frozen
class Detail:
    """One thing that is wrong with one field.

    ``value`` is already redacted: a short type name and length for text, the value itself only where it cannot be personal.
    """

    entity: str
    field: str
    code: str
    value: str = ""
    params: Mapping[str, Any] = attrs.field(factory=dict)
    row: int | None = None

    def message(self, locale: str = "en", messages: Messages | None = None) -> str:
        """Say it in words of *locale*; see :meth:`CRMError.message`."""
        return _text(self.code, {"entity": self.entity, "field": self.field, "value": self.value, **self.params}, locale, messages)

    def to_json(self, locale: str = "en", messages: Messages | None = None) -> dict[str, Any]:
        """Return it as a problem document has it."""
        from .messages import on_one_line

        place = {"entity": self.entity, "field": on_one_line(self.field)} | ({} if self.row is None else {"row": self.row})
        return place | {"code": self.code, "value": self.value, "message": self.message(locale, messages)}


class CRMError(Exception):
    """The root of all errors of this package.

    Attributes:
        code: stable id of the message, for programs; plugins prefix theirs with their name.
        status: the HTTP status a web host would answer.
        params: values for the message's placeholders, all plain JSON.
        details: one entry a wrong field, where the error is about fields.
    """

    default_code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    _messages: Messages | None = None

    def __init__(self, code: str | None = None, /, *, details: Sequence[Detail] = (), **params: Any) -> None:
        self.code = code or self.default_code
        self.params = params
        self.details = tuple(details)
        super().__init__(self.code)

    def message(self, locale: str = "en", messages: Messages | None = None) -> str:
        """Say what was wrong, where, and what to do, in words of *locale*.

        Args:
            messages: ``crm.messages``, which knows the words of its plugins too. An error that came out of a session, or out of a
                call of one, knows those of its CRM by itself; else a plugin's code speaks for itself, with its parameters.
        """
        return _text(self.code, self.params, locale, messages or self._messages)

    def __str__(self) -> str:
        from .messages import on_one_line

        lines = [_with_code(self.message(), self.code)]
        lines += [
            f"  {on_one_line(f'{d.entity}.{d.field}')}: {_with_code(d.message(messages=self._messages), d.code)}"
            for d in self.details[:MOST_TOLD]
        ]
        if len(self.details) > MOST_TOLD:
            lines.append("  " + _text("and_more", {"count": len(self.details) - MOST_TOLD}, "en", None))
        return "\n".join(lines)

    def _told_by(self, messages: Messages) -> None:
        """Let ``str(error)`` have the words of a CRM's plugins; the CRM that it came out of first is the one that knows."""
        self._messages = self._messages or messages

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.code, self.details, self.params)

    def problem(self, locale: str = "en", messages: Messages | None = None) -> dict[str, Any]:
        """Return the error as an RFC 9457 problem document: ``e.problem(actor.locale, crm.messages)``.

        Of very many details it has the first 40 as ``errors``, and how many there are besides as ``more``.
        """
        messages = messages or self._messages
        # A file of the server is for its log, not for who asked over HTTP.
        told = {name: value for name, value in self.params.items() if name != "where" or self.status < 500}
        body: dict[str, Any] = {
            "type": f"urn:crm:error:{self.code}",
            "title": self.message(locale, messages),
            "status": self.status,
            "code": self.code,
            "params": _plain(told),
        }
        if self.details:
            body["errors"] = [detail.to_json(locale, messages) for detail in self.details[:MOST_TOLD]]
        if len(self.details) > MOST_TOLD:
            body["more"] = len(self.details) - MOST_TOLD
        return body


def _text(code: str, params: Mapping[str, Any], locale: str, messages: Messages | None) -> str:
    from .messages import text

    return messages.text(code, params, locale) if messages else text(code, params, locale)


def _with_code(said: str, code: str) -> str:
    """Add a plugin's code to its words: who reads a traceback learns whose they are, and what to ask for."""
    return said if "." not in code or said.startswith(code) else f"{said} ({code})"


def _plain(value: Any) -> Any:
    """Turn parameters into what JSON takes, whatever they are made of."""
    from .messages import redact

    if isinstance(value, dict):
        return {_encodable(str(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, int) and value.bit_length() > 128:
        return redact(value)
    whole = isinstance(value, int | bool | None) or (isinstance(value, float) and math.isfinite(value))
    return value if whole else _encodable(str(value))


def _encodable(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON may bring and no answer can carry."""
    return text.encode(errors="replace").decode()


def _rebuild(cls: type[CRMError], code: str, details: Sequence[Detail], params: Mapping[str, Any]) -> CRMError:
    return cls(code, details=details, **params)


class NotFound(CRMError):
    """The record does not exist, or does not exist for this actor."""

    default_code, status = "not_found", 404


class Denied(CRMError):
    """The actor may not do this."""

    default_code, status = "denied", 403


class TenantSuspended(CRMError):
    """The tenant is suspended: its sessions are refused until ``crm.tenants.resume``; nothing of it is lost."""

    default_code, status = "tenant_suspended", 423


class Conflict(CRMError):
    """Someone else changed the record, or a unique value is taken. ``params`` carry ``yours``, ``theirs`` and ``base``."""

    default_code, status = "conflict", 409


class Invalid(CRMError):
    """The values asked for break a rule of their fields; ``details`` names all of them at once."""

    default_code, status = "invalid", 422


class Refused(CRMError):
    """A plugin's veto, or a statement or call outside what is allowed; ``details`` holds every refusal."""

    default_code, status = "refused", 422


class NotReadable(CRMError):
    """The actor may not read this field. Not an AttributeError, so ``getattr(x, "salary", 0)`` cannot lie."""

    default_code, status = "not_readable", 403


class MixedCurrency(CRMError):
    """Amounts of unlike currencies would be added, compared or sorted."""

    default_code, status = "mixed_currency", 422


class ReadOnly(CRMError):
    """A write in a session opened with ``write=False``, or a database that takes no writes."""

    default_code, status = "read_only", 409


class NeedsAwait(CRMError):
    """A call that blocks was made where an event loop runs; use ``asession`` or ``await crm.run(...)``."""

    default_code, status = "needs_await", 500


class SchemaBehind(CRMError):
    """The database's schema is older (or newer) than the code; ``crm.migrations.plan()`` says how."""

    default_code, status = "schema_behind", 503


class CommitOutcomeUnknown(CRMError):
    """The connection broke, or the disk failed, during COMMIT. Ask ``crm.outcome(idempotency_key)`` before you try again."""

    default_code, status = "commit_outcome_unknown", 503


class Unavailable(CRMError):
    """The database cannot serve now (locked, full, gone). Nothing was changed; the call can be repeated."""

    default_code, status = "unavailable", 503


class StatementFailed(CRMError):
    """The database does not take a statement as it is written: the code of the core, a plugin or the host must change. Nothing was
    changed, and to repeat the call helps nothing."""

    default_code, status = "database_failed", 500


class BackupRefused(CRMError):
    """A backup is damaged or does not open with this key, or a target is not one that it may be restored into. Nothing was changed."""

    default_code, status = "backup_refused", 422


class LoadError(CRMError):
    """The CRM cannot start as configured: a plugin, role, hook or entity is wrong. Raised by ``CRM(...)``."""

    default_code, status = "load_error", 500


class MissingExtra(CRMError):
    """A feature needs an optional dependency: ``pip install 'crm-core[<extra>]'``."""

    default_code, status = "missing_extra", 500


class WrongArgument(CRMError, TypeError):
    """The calling code gave something of the wrong kind, such as a name where a class belongs. It is the code that must change."""

    default_code, status = "wrong_argument", 500


class LoopDetected(CRMError):
    """Events or hooks call each other in a circle; ``params['chain']`` shows it."""

    default_code, status = "loop_detected", 500


class PluginFailed(CRMError):
    """A plugin's code raised. ``params`` name the plugin and the hook; ``__cause__`` is what it raised."""

    default_code, status = "plugin_failed", 500


class Unreadable(CRMError):
    """What is stored cannot be opened: it was changed outside of the CRM, or its key is not here. Ciphertext is never given as a value."""

    default_code, status = "unreadable", 500
