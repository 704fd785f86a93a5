"""Mail: a message, and who sends it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any, Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

import attrs

from ..entities.validate import one_line
from ..errors import Invalid, LoadError, Unavailable

_PORTS = {"smtp": 25, "smtps": 465}


@attrs.frozen
class Attachment:
    """A file that comes with a mail; *kind* is its media type."""

    name: str
    content: bytes
    kind: str = "application/octet-stream"


@attrs.frozen(kw_only=True)
class Mail:
    """A message.

    Attributes:
        to: addresses, with names or without: ``Anna <anna@example.org>``.
        subject: one line.
        text, html: the body; with both, a reader shows what it can.
        sender: another than the mailer's own.
        reply_to: where answers go.
        headers: others, such as ``List-Unsubscribe``.
        id: told to the receiver as Message-ID, so that a mail that is sent twice can be known; an event's id serves.
    """

    to: Sequence[str]
    subject: str
    text: str = ""
    html: str = ""
    sender: str = ""
    reply_to: str = ""
    headers: dict[str, str] = attrs.Factory(dict)
    attachments: Sequence[Attachment] = ()
    id: str = ""


@runtime_checkable
class Mailer(Protocol):
    """Sends mail."""

    def send(self, mail: Mail) -> None:
        """Hand a mail over to whoever delivers it.

        Raises:
            Invalid: ``bad_mail``: no receiver, an address that is none, a header with a line break. Sending it again helps nothing.
            Unavailable: ``port_failed``: it was not taken; it may be later.
        """
        ...


def message(mail: Mail, sender: str) -> EmailMessage:
    """Write a mail as MIME.

    Raises:
        Invalid: ``bad_mail``.
    """
    made = EmailMessage()
    try:
        made["From"] = _addresses([mail.sender or sender], "sender")
        made["To"] = _addresses(mail.to, "to")
        made["Subject"] = mail.subject
        if mail.reply_to:
            made["Reply-To"] = _addresses([mail.reply_to], "reply_to")
        if mail.id:
            made["Message-ID"] = f"<{_addresses([f'{mail.id}@crm.invalid'], 'id')[0].addr_spec}>"
        for name, value in mail.headers.items():
            made[name] = value
        made.set_content(mail.text)
        if mail.html:
            made.add_alternative(mail.html, subtype="html")
        for each in mail.attachments:
            main, _, sub = each.kind.partition("/")
            made.add_attachment(each.content, maintype=main, subtype=sub or "octet-stream", filename=each.name)
        _check_whole(made)
    except (ValueError, TypeError, LookupError) as e:
        raise Invalid("bad_mail", field="headers", reason=type(e).__name__) from e
    return made


def _check_whole(made: EmailMessage) -> None:
    """Check that a reader finds the headers that were written, and no other: an encoded word may hold a break of a line.

    Raises:
        ValueError: it would find others.
    """
    read = message_from_bytes(made.as_bytes(), policy=policy.default)
    for written, found in zip(made.walk(), read.walk(), strict=True):
        if [*map(str.lower, written.keys())] != [*map(str.lower, found.keys())]:
            raise ValueError("headers")
    if not all(one_line(str(value)) for part in made.walk() for value in part.values()):
        raise ValueError("headers")


def _addresses(given: Sequence[str], field: str) -> list[Address]:
    found: list[Address] = []
    for text in given:
        try:
            header: Any = policy.default.header_factory("to", text) if text.isprintable() else None
            parsed = [] if header is None or header.defects else list(header.addresses)
        except (ValueError, IndexError, AttributeError):
            parsed = []
        if len(parsed) != 1 or not (parsed[0].username and parsed[0].domain):
            raise Invalid("bad_mail", field=field, reason="address")
        found += parsed
    if not found:
        raise Invalid("bad_mail", field=field, reason="address")
    return found


class SMTPMailer:
    """Sends through a mail server; a connection for each mail, so it may be used from many threads.

    Args:
        url: ``smtps://user:password@host:465`` (TLS from the start), or ``smtp://host:587``, which asks for STARTTLS.
        sender: the address that mails come from.
        timeout: seconds.
        plain: send without TLS over ``smtp://``; for a server on this machine.

    Raises:
        LoadError: ``bad_mail_server``.
    """

    def __init__(self, url: str, *, sender: str, timeout: float = 30.0, plain: bool = False) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise LoadError("bad_mail_server", scheme=parts.scheme[:20])
        self._url = parts
        self._sender = sender
        self._timeout = timeout
        self._plain = plain

    def __repr__(self) -> str:
        return f"SMTPMailer({self._url.scheme}://{self._url.hostname})"

    def send(self, mail: Mail) -> None:
        """Hand a mail over to the server."""
        import smtplib
        import ssl

        made = message(mail, self._sender)
        host, port = self._url.hostname or "", self._url.port or _PORTS[self._url.scheme]
        tls = ssl.create_default_context()
        try:
            secure = self._url.scheme == "smtps"
            dial = functools.partial(smtplib.SMTP_SSL, context=tls) if secure else smtplib.SMTP
            with dial(host, port, timeout=self._timeout) as server:
                if not secure and not self._plain:
                    server.starttls(context=tls)
                if self._url.username:
                    server.login(unquote(self._url.username), unquote(self._url.password or ""))
                server.send_message(made)
        except smtplib.SMTPResponseException as e:
            raise Unavailable("port_failed", port="Mailer", reason=f"SMTP {e.smtp_code}") from e
        except (smtplib.SMTPException, OSError) as e:
            raise Unavailable("port_failed", port="Mailer", reason=type(e).__name__) from e


class MemoryMailer:
    """Keeps what would be sent, for tests.

    Attributes:
        sent: the mails, oldest first.
    """

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self._lock = threading.Lock()

    def send(self, mail: Mail) -> None:
        """Keep a mail, after the checks of one that is sent."""
        message(mail, "crm@example.org")
        with self._lock:
            self.sent.append(mail)
