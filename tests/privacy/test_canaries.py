"""S10 [C72]: one person is known along every path, then erased; nothing that stays behind knows them, and the journal still verifies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, inspect, select

import crm_analytics
import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import (
    CRM,
    Account,
    Actor,
    Address,
    Affiliation,
    AutomationRule,
    AutomationRun,
    Channel,
    Contact,
    Created,
    CRMError,
    Email,
    FileKeys,
    FixedClock,
    Interaction,
    Link,
    Note,
    Participant,
    Phone,
    Plugin,
    RuleTrigger,
    RunOutcome,
    Runtime,
    Tag,
    Tagging,
)
from crm_core.backup import backup, restore
from crm_core.io import Importer, Mapping, Source
from crm_core.privacy import erase, scrub
from crm_erp_bridge.ledger import Binding, Outbound, Parked, ParkedState
from crm_marketing.api import Consent, Touch
from crm_sales.api import Lead
from crm_service.api import Complaint, Survey, SurveyInvitation, SurveyKind, SurveyResponse, Ticket, TicketComment
from crm_service.complaints import Severity
from tests.figures import figure
from tests.keys.test_canaries import forms

MAIL, PHONE = "canary.mail@example.com", "+493012345678"
WORDS = (
    "CANARYname",
    "CANARYfirst",
    "CANARYtitle",
    "CANARYstreet",
    "CANARYref",
    "CANARYbody",
    "CANARYsubject",
    "CANARYnote",
    "CANARYticket",
)
MORE = ("CANARYcomment", "CANARYcause", "CANARYsurvey", "CANARYproof", "CANARYclick", "CANARYlead", "CANARYutm", "CANARYerp", "CANARYrun")
NEEDLES = {needle for word in (*WORDS, *MORE, MAIL, PHONE) for needle in forms(word)}
MODULES = [crm_sales.plugin, crm_service.plugin, crm_marketing.plugin, crm_analytics.plugin, crm_erp_bridge.plugin]


def hits(data: bytes) -> list[bytes]:
    return [needle for needle in NEEDLES if needle in data]


def found(crm: CRM) -> list[Any]:
    """Return what the tables know of the person, and on SQLite the bytes of the file and its WAL, free pages included."""
    places: list[Any] = []
    with crm.bound.begin(write=False) as connection:
        for name in inspect(connection).get_table_names():
            rows = connection.exec_driver_sql(f'SELECT * FROM "{name}"')
            places += [(name, hits(repr(row).encode())) for row in rows if hits(repr(row).encode())]
    if crm.bound.kind == "sqlite":
        for suffix in ("", "-wal", "-journal"):
            path = Path(f"{crm.bound.url.database}{suffix}")
            if path.exists() and (there := hits(path.read_bytes())):
                places.append((path.name, there))
    return places


def plant(crm: CRM, admin: Actor, folder: Path) -> Contact:
    """Make one person known along every path, deleted records and failures among them."""
    now = crm.runtime.clock.now()
    with crm.session(admin, idempotency_key="CONTROLkey") as s:
        acme = s.create(Account(name="CONTROLacme"))
        ada = s.create(
            Contact(
                name="CANARYname",
                first_name="CANARYfirst",
                title="CANARYtitle",
                external_ref="CANARYref",
                account=acme.ref,
                emails=[Email(MAIL)],
                phones=[Phone(PHONE)],
                addresses=[Address(street="CANARYstreet 1", city="Berlin")],
            )
        )
    with crm.session(admin) as s:
        s.update(Contact, ada.id, {"name": "CANARYname2", "first_name": None})
        s.create(Affiliation(contact=ada.ref, account=acme.ref, role="founder"))
        s.create(Interaction(at=now, subject="CANARYsubject", body="CANARYbody", links=[Link.to(ada)]))
        gone = s.create(Interaction(at=now, body="CANARYbody2", participants=[Participant(MAIL, "CANARYname")]))
        s.delete(gone)
        s.create(Note(body="CANARYnote", links=[Link.to(ada)]))
        s.create(Tagging(tag=s.create(Tag(name="vip")).ref, entity="contact", record=ada.id))
        ticket = s.create(Ticket(subject="CANARYticket", description="CANARYticket", account=acme.ref, contact=ada.ref))
        s.create(TicketComment(ticket=ticket.ref, body="CANARYcomment"))
        s.create(Complaint(ticket=ticket.ref, severity=next(iter(Severity)), root_cause="CANARYcause"))
        survey = s.create(Survey(name="How was it", kind=SurveyKind.NPS, question="How was it?"))
        asked = s.create(SurveyInvitation(survey=survey.ref, contact=ada.ref, token_hash="0" * 64, expires_at=now + timedelta(days=9)))
        s.create(SurveyResponse(survey=survey.ref, invitation=asked.ref, contact=ada.ref, score=9, comment="CANARYsurvey", at=now))
        said: Any = {"purpose": "news", "text": "Yes.", "evidence": {"from": "CANARYproof"}, "source": "web", "given_at": now}
        s.create(Consent(contact=ada.ref, **said))
        lead = s.create(Lead(name="CANARYlead", emails=[Email(MAIL)], utm={"campaign": "CANARYutm"}, converted_contact=ada.ref))
        s.create(Touch(lead=lead.id, at=now, channel=Channel.WEB, click_id="CANARYclick"))
        ids: Any = {"bridge": "b", "stream": "contacts"}
        held = {"name": "CANARYerp", "mail": MAIL}
        own: Any = {"record": "contact", "local_id": ada.id, "remote_key": "b/1", "local_key": f"b/{ada.id}", "synced_at": now}
        s.create(Binding(**ids, **own, remote_id="1", base=held))
        out: Any = {"local_key": f"b/{ada.id}", "local_id": ada.id, "sequence": 1, "key": "k", "source": "s", "next_try": now}
        s.create(Outbound(**ids, **out, values=held, reason="CANARYerp"))
        s.create(Parked(**ids, remote_key="b/2", remote=held, state=next(iter(ParkedState)), error={"v": "CANARYerp"}))
        rule = s.create(
            AutomationRule(name="r", entity="contact", runs_on=RuleTrigger.CREATED, actions=[{"set": {"customer": True}}], active=False)
        )
        run: Any = {
            "rule": rule.ref,
            "key": "k",
            "at": now,
            "entity": "contact",
            "record": ada.id,
            "outcome": RunOutcome.FAILED,
            "reason": "x",
        }
        s.create(AutomationRun(**run, params={"given": "CANARYrun"}))
    table = folder / "in.csv"
    table.write_text(f"ref,name,mail\nCANARYref,CANARYname3,{MAIL}\nCONTROLref,,CANARYname\n")
    mapping = Mapping(entity="contact", fields={"external_ref": Source("ref"), "name": Source("name")}, match="external_ref")
    Importer(crm, admin, mapping).run(table)
    with pytest.raises(CRMError), crm.session(admin) as s:
        s.update(Contact, ada.id, {"name": "CANARYname" * 99})
    return ada


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
def test_nothing_stays_behind_of_an_erased_person(make_crm: Any, tmp_path: Path, keyed: bool) -> None:
    """[S10]"""
    watch = Plugin("watch", version="1.0")
    watch.grants("contact:read")

    @watch.on(Created[Contact])
    def created(ctx: Any, event: Created[Contact]) -> None:
        raise ValueError(f"cannot send to {event.new.get('name')}")

    admin = Actor.system("tests", tenant="main")
    clock = FixedClock(Runtime.seeded(10).clock.now())
    keys = FileKeys.create(tmp_path / "crm.keys") if keyed else None
    crm: CRM = make_crm(plugins=[*MODULES, watch], keys=keys, runtime=Runtime.seeded(10, clock=clock), quarantine_after=None)
    ada = plant(crm, admin, tmp_path)
    for _ in range(2):
        crm.run_pending()
        clock.advance(timedelta(days=1))
    there = {name for name, _ in found(crm)}
    assert there >= {
        "crm_contact",
        "crm_contact_emails",
        "crm_service_ticket",
        "crm_erp_bridge_parked",
        "crm_automation_run",
        "crm_sales_lead",
    }
    assert keyed or "crm_journal" in there
    assert "crm_parking" not in there  # what the subscriber said of her is masked there
    assert crm.bound.kind != "sqlite" or any(".db" in name or "-wal" in name for name in there)
    assert crm.audit.verify().ok
    backup(crm, tmp_path / "before.crm", plain=True)
    with crm.session(admin) as s:
        done = erase(s, f"contact:{ada.id}", reason="asked")
    scrub(crm)
    assert found(crm) == []
    crm.run_pending()
    crm.audit.seal()
    verdict = crm.audit.verify()
    assert (verdict.ok, verdict.unsealed) == (True, {})
    backup(crm, tmp_path / "after.crm", plain=True)
    assert hits((tmp_path / "after.crm").read_bytes()) == []
    restore(crm, tmp_path / "before.crm", force=True)
    scrub(crm)
    assert found(crm) == []
    with crm.session(admin) as s:
        assert s.get(Account, s.query(Account).one().id).name == "CONTROLacme"
    journal = crm.tables.system.journal
    with crm.bound.begin(write=False) as connection:
        rows = connection.execute(select(func.count()).select_from(journal)).scalar()
    records = sum(sum(each.values()) for each in done.counts.values())
    figure(
        f"S10 {'with keys' if keyed else 'without keys'}",
        database=crm.bound.kind,
        rows=rows,
        cases=len(NEEDLES),
        seed=10,
        result=f"0 hits of {len(NEEDLES)} forms after {records} records; the chain verifies; 0 after a restore from before",
        bar="0 hits",
    )
