"""Mail, sent to a real server."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from email import policy
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from crm_core import Invalid, LoadError, Unavailable
from crm_core.ports import Attachment, Mail, MemoryMailer, SMTPMailer
from crm_core.ports.mail import message
from crm_core.testing.ports import check_mailer


class Inbox:
    """Takes every mail, but one for nobody@."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802  # aiosmtpd's name
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append(envelope.content)
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    handler = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def test_a_mail_server_is_spoken_to_as_the_contract_says(inbox: tuple[Inbox, int]) -> None:
    handler, port = inbox
    check_mailer(SMTPMailer(f"smtp://127.0.0.1:{port}", sender="CRM <crm@example.org>", plain=True), lambda: handler.got)


def test_the_mailer_of_tests_refuses_what_a_server_s_does() -> None:
    mailer = MemoryMailer()
    check_mailer(mailer, lambda: [bytes(message(mail, "crm@example.org")) for mail in mailer.sent])


def test_a_file_comes_along_whole(inbox: tuple[Inbox, int]) -> None:
    handler, port = inbox
    content = bytes(range(256)) * 100
    mail = Mail(to=["a@example.org"], subject="x", text="y", attachments=[Attachment("Größe.pdf", content, "application/pdf")])
    SMTPMailer(f"smtp://127.0.0.1:{port}", sender="crm@example.org", plain=True).send(mail)
    (part,) = email.message_from_bytes(handler.got[0], policy=policy.default).iter_attachments()
    assert (part.get_filename(), part.get_content()) == ("Größe.pdf", content)


def test_a_server_that_refuses_or_is_gone_is_unavailable(inbox: tuple[Inbox, int]) -> None:
    _, port = inbox
    with pytest.raises(Unavailable) as refused:
        SMTPMailer(f"smtp://127.0.0.1:{port}", sender="crm@example.org", plain=True).send(Mail(to=["nobody@example.org"], subject="x"))
    with pytest.raises(Unavailable) as gone:
        SMTPMailer("smtp://127.0.0.1:1", sender="crm@example.org", plain=True).send(Mail(to=["a@example.org"], subject="x"))
    assert {refused.value.code, gone.value.code} == {"port_failed"}


def test_without_tls_nothing_is_sent_unless_the_host_says_so(inbox: tuple[Inbox, int]) -> None:
    handler, port = inbox
    with pytest.raises(Unavailable):
        SMTPMailer(f"smtp://127.0.0.1:{port}", sender="crm@example.org").send(Mail(to=["a@example.org"], subject="x"))
    assert handler.got == []


def test_the_password_is_not_shown() -> None:
    mailer = SMTPMailer("smtps://crm:hunter2@mail.example.org", sender="crm@example.org")
    assert "hunter2" not in repr(mailer)
    with pytest.raises(LoadError) as caught:
        SMTPMailer("hunter2@mail", sender="crm@example.org")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("to", ["", "a", "a@", "@b.example", "a@b.example, c@d.example", "a@b.example\r\nX: y", "a b@c.example"])
def test_what_is_no_address_is_invalid(to: str) -> None:
    with pytest.raises(Invalid) as caught:
        MemoryMailer().send(Mail(to=[to], subject="x"))
    assert caught.value.code == "bad_mail"
