"""What a field is classified as, and what follows from the word [C72]."""

from __future__ import annotations

from typing import Any

import pytest

from crm_core import Actor, Contact, Entity, Extension, Field, LoadError, Plugin, field
from crm_core.privacy import erase, export

shop = Plugin("shop", version="1.0")


class Card(Entity):
    motto: Field[str] = field(classified="public")
    note: Field[str] = field(default="")
    name: Field[str] = field(classified="personal")
    health: Field[str] = field(default="", classified="sensitive")
    pin: Field[str] = field(default="", classified="secret")


@shop.extend(Contact)
class Size(Extension):
    shoes: Field[int | None] = field(default=None, classified="personal")


shop.entities(Card)


def test_the_word_says_what_the_flags_say_and_the_flags_the_word() -> None:
    def said(**given: Any) -> tuple[str, bool, bool]:
        options = field(**given)
        return options.classified, options.pii, options.sensitive

    assert said() == ("internal", False, False)
    assert said(classified="public") == ("public", False, False)
    assert said(pii=True) == said(classified="personal") == ("personal", True, False)
    assert said(sealed=True) == ("personal", True, False)
    assert said(sensitive=True) == said(classified="sensitive") == ("sensitive", True, True)
    assert said(classified="secret") == ("secret", True, True)
    for wrong in ({"classified": "public", "pii": True}, {"classified": "personal", "sensitive": True}, {"classified": "private"}):
        with pytest.raises(LoadError) as e:
            field(**wrong)
        assert e.value.code == "bad_classification"


def test_the_word_drives_description_repr_journal_export_and_erasure(make_crm: Any, officer: Actor) -> None:
    crm = make_crm(plugins=[shop])
    with crm.session(officer) as s:
        card = s.create(Card(motto="M", note="N", name="Ada", health="asthma", pin="p-1815"))
        assert {n: f["classified"] for n, f in s.describe(Card)["fields"].items()} | {"id": "internal"} == {
            **dict.fromkeys(("id", "version", "created_at", "created_by", "updated_at", "updated_by", "deleted_at"), "internal"),
            "motto": "public",
            "note": "internal",
            "name": "personal",
            "health": "sensitive",
            "pin": "secret",
        }
        assert s.describe(Contact)["fields"]["shop_shoes"]["classified"] == "personal"
        assert "health=***, pin=***" in repr(card)
        told = export(s, card)
        assert told["records"]["shop.card"][0]["health"] == "asthma"
        assert "p-1815" not in repr(told)
        ada = s.create(Contact(name="Ada"))
        s.update(Contact, ada.id, {"shop_shoes": 37})
        erase(s, ada, reason="asked")
        assert erase(s, f"shop.card:{card.id}", reason="asked").counts == {"shop.card": {"delete": 1}}
    with crm.session(officer) as s:
        table = crm.tables.entities[Card]
        row = s._unit.connection.execute(table.select()).mappings().one()
        assert [row[n] for n in ("motto", "note", "name", "health", "pin")] == ["M", "N", "erased", "", ""]
        contacts = crm.tables.entities[Contact]
        assert s._unit.connection.execute(contacts.select()).mappings().one()["shop_shoes"] is None
