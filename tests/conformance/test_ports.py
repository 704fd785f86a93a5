"""A plugin that reaches the outside is tried with ports in memory, and its own port with the vendor's example."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from crm_core import Account, Actor, Created, Event, Plugin, Session
from crm_core.ports import Files, Http, LiveNotifier, Mail, Mailer, MemoryFiles, MemoryHttp, MemoryMailer, Notice, Notifier
from crm_core.testing.conformance import check


@runtime_checkable
class Bureau(Protocol):
    """Says how good somebody's credit is."""

    def score(self, name: str) -> int:
        """Return the score of *name*."""
        ...


class SampleBureau:
    """Knows everybody."""

    def score(self, name: str) -> int:
        return len(name)


outgoing = Plugin("acme.outgoing", version="1.0.0", label="Outgoing")
outgoing.grants("account:read")
outgoing.ports(Files, Http, Mailer, Notifier, Bureau)
outgoing.catalogue("en", {"acme.outgoing.label": "Outgoing"})
outgoing.catalogue("zh", {"acme.outgoing.label": "外发"})


@outgoing.on(Created[Account], external=True)
def tell(s: Session, event: Event[Account]) -> None:
    """Use every port once."""
    account = s.get(Account, event.record)
    s.port(Files).put(account.id, account.name.encode())
    answer = s.port(Http).request("GET", "https://example.org/")
    s.port(Mailer).send(Mail(to=["a@example.org"], subject=str(answer.status), id=event.id))
    s.port(Notifier).notify(event.actor, Notice(title=str(s.port(Bureau).score(account.name))))


def test_a_plugin_with_ports_passes_with_those_in_memory_and_an_example_of_its_own() -> None:
    report = check(outgoing, examples={Bureau: SampleBureau})
    assert {str(o.rule): o.reasons for o in report.failed} == {}


def test_a_port_without_an_example_is_asked_for() -> None:
    (failed,) = check(outgoing).failed
    assert list(failed.reasons) == [
        "it needs the port Bureau, and the kit has none: give it one in tests/conformance.py, by a function @example(Bureau)"
    ]


def test_the_kit_of_pytest_makes_crms_with_the_ports_that_a_test_gives(make_crm: Any) -> None:
    http = MemoryHttp()
    crm = make_crm(plugins=[outgoing], ports=[MemoryFiles(), http, MemoryMailer(), LiveNotifier(), SampleBureau()])
    with crm.session(Actor.system("test", tenant="main")) as s:
        s.create(Account(name="Acme"))
    assert crm.run_pending() == 1
    assert [(call.method, call.url, call.body) for call in http.sent] == [("GET", "https://example.org/", b"")]
