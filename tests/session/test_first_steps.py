"""What somebody who begins does wrong is told in words that lead on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from crm_core import CRM, Account, Actor, Invalid, NotFound, Refused, Role

SYSTEM = Actor.system("test", tenant="main")
CLERK = Role("clerk").allow(Account, "read", "update", fields={"industry": "none"})


@pytest.fixture(scope="module")
def crm() -> Iterator[CRM]:
    crm = CRM("sqlite://", roles=[CLERK])
    crm.migrate()
    yield crm
    crm.close()


def test_a_mistyped_field_of_a_change_is_named_with_what_was_meant(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        acme = s.create(Account(name="Acme"))
        with pytest.raises(Invalid, match=r"Did you mean website\?"):
            s.update(Account, acme.id, {"web_site": "https://acme.example"})


def test_no_suggestion_tells_of_a_field_that_is_hidden(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        acme = s.create(Account(name="Acme"))
    with crm.session(Actor("7", roles={"clerk"})) as s:
        with pytest.raises(Invalid) as mistyped:
            s.update(Account, acme.id, {"industri": "x"})
        with pytest.raises(Invalid) as hidden:
            s.update(Account, acme.id, {"industry": "x"})
    assert "industry" not in str(mistyped.value)
    assert [d.code for d in hidden.value.details] == [d.code for d in mistyped.value.details] == ["unknown_field"]


def test_a_system_field_in_a_body_is_said_to_be_the_systems(crm: CRM) -> None:
    with pytest.raises(Invalid) as raised:
        crm.from_json(Account, {"name": "Acme", "id": "7", "nmae": "x"})
    assert {(d.field, d.message()) for d in raised.value.details} == {
        ("id", "This field is set by the system and cannot be written."),
        ("nmae", "There is no field nmae. Did you mean name?"),
    }


@pytest.mark.parametrize("id", [1, None, 2.5, b"x"], ids=repr)
def test_what_cannot_be_an_id_is_said_to_be_none(crm: CRM, id: object) -> None:
    with crm.session(SYSTEM) as s:
        for read in (s.get, s.lock):
            with pytest.raises(NotFound, match=f"not {type(id).__name__}"):
                read(Account, id)  # type: ignore[arg-type]
        with pytest.raises(NotFound) as plain:
            s.get(Account, "1")
    assert plain.value.message() == "There is no such record."


def test_a_record_is_explained_as_it_is_or_by_its_reference_or_id(crm: CRM) -> None:
    with crm.session(SYSTEM) as s:
        acme = s.create(Account(name="Acme"))
    clerk = Actor("7", roles={"clerk"})
    said = crm.explain(clerk, "update", Account, acme.id)
    assert said.allowed
    assert crm.explain(clerk, "update", acme) == crm.explain(clerk, "update", acme.ref) == said
    assert not crm.explain(clerk, "delete", acme).allowed


def test_an_asynchronous_session_is_sent_to_asession(crm: CRM, tmp_path: Path) -> None:
    async def join() -> str:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
        try:
            async with AsyncSession(engine) as host, engine.connect() as connection:
                said = []
                for on in (host, connection):
                    with pytest.raises(Refused, match=r"crm\.asession") as raised, crm.session(SYSTEM, on=on):
                        pass
                    said.append(raised.value.code)
        finally:
            await engine.dispose()
        return " ".join(said)

    assert asyncio.run(join()) == "cannot_join_async cannot_join_async"
