"""The contracts of the ports, each as one function to call from a test; it raises AssertionError with the rule that is broken."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..errors import CRMError, Invalid, NotFound, Refused
from ..ports import Answer, Files, Http, Mail, Mailer, Notice, Notifier


def check_files(make: Callable[[], Files]) -> None:
    """Check a store of files.

    Args:
        make: returns a store of the same files at each call, like a second process would; it may hold others under other tenants.
    """
    files = make().scoped("contract", "acme.contract")
    for key in list(files.keys()):
        files.delete(key)
    content = bytes(range(256)) * 300
    files.put("letters/2026/a.txt", b"first")
    files.put("letters/2026/a.txt", content)
    files.put("letters/b", b"")
    again = make().scoped("contract", "acme.contract")
    assert again.get("letters/2026/a.txt") == content, "what was put must come back, from another process too, the latest first"
    assert again.get("letters/b") == b"", "an empty file is a file"
    assert list(again.keys()) == ["letters/2026/a.txt", "letters/b"], "keys() must yield every key, sorted"
    assert list(again.keys("letters/b")) == ["letters/b"], "keys() must yield those that begin with the prefix"
    assert list(make().scoped("contract2", "acme.contract").keys()) == [], "another tenant must not see them"
    assert list(make().scoped("contract", "acme.contract2").keys()) == [], "another plugin must not see them"
    _raises(NotFound, lambda: again.get("letters/none"), "a key that is not there must be NotFound")
    for key in ("", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a\\b", "a\x00b", "a b", "x" * 901):
        _raises(Invalid, partial(files.put, key, b""), f"the key {key[:20]!r} must be Invalid")
    again.delete("letters/b")
    again.delete("letters/b")
    assert list(files.keys()) == ["letters/2026/a.txt"], "delete() must forget a key, and not mind one that is not there"
    files.delete("letters/2026/a.txt")


def check_mailer(mailer: Mailer, received: Callable[[], list[bytes]]) -> None:
    """Check a mailer.

    Args:
        received: what the server got until now, each mail as its bytes.
    """
    before = len(received())
    mailer.send(
        Mail(to=["Ännä <anna@example.org>", "ben@example.org"], subject="Grüße 你好", text="Hello\n.\nBye", html="<b>Hello</b>", id="e-1")
    )
    (got,) = received()[before:]
    for part in (b"anna@example.org", b"ben@example.org", b"Message-ID: <e-1@", b"text/html", b"\nBye"):
        assert part in got.replace(b"\r\n", b"\n"), f"a mail must arrive whole: {part!r} is not in it"
    for wrong in (
        Mail(to=[], subject="x"),
        Mail(to=["nobody"], subject="x"),
        Mail(to=["a@example.org"], subject="x\nBcc: all@example.org"),
        Mail(to=["a@example.org\nBcc: all@example.org"], subject="x"),
        Mail(to=["a@example.org"], subject="x", headers={"X-A": "b\r\nBcc: all@example.org"}),
    ):
        _raises(Invalid, partial(mailer.send, wrong), "no receiver, or a line break in a header, must be Invalid")
    assert len(received()) == before + 1, "a mail that is Invalid must not be sent"


def check_http(http: Http, url: str, forbidden: str) -> None:
    """Check a client.

    Args:
        url: of a server that answers 200 with what it got as a body.
        forbidden: an address that must not be called.
    """
    answer = http.request("POST", url, headers={"X-Test": "1"}, body=b"ping")
    assert isinstance(answer, Answer), "request() must return an Answer"
    assert (answer.status, answer.body) == (200, b"ping"), "the body must go out, and the answer's come back"
    assert all(name == name.lower() for name in answer.headers), "header names must be in lower case"
    _raises(Refused, lambda: http.request("GET", forbidden), "an address that is not allowed must be Refused")
    for wrong in ("", "no url", "https://user:word@example.org/", "https://example.org/a\nb"):
        _raises(CRMError, partial(http.request, "GET", wrong), f"{wrong!r} must be refused")


def check_notifier(notifier: Notifier, told: Callable[[str, str], list[Notice]]) -> None:
    """Check a notifier.

    Args:
        told: what a user of a tenant was told until now.
    """
    mine = notifier.scoped("contract", "acme.contract")
    mine.notify("anna", Notice(title="Hello", link="/a"))
    mine.notify("anna", Notice(title="Again"))
    assert [n.title for n in told("contract", "anna")][-2:] == ["Hello", "Again"], "notices must arrive in their order"
    assert told("other", "anna") == [], "another tenant's user of that name must not be told"


def _raises(kind: type[CRMError], work: Callable[[], object], rule: str) -> None:
    try:
        work()
    except kind:
        return
    raise AssertionError(rule)
