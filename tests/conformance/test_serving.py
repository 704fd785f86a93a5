"""CK12 calls the services, too, with arguments that the kit makes up or that an example gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import crm_erp_bridge
import crm_marketing
import crm_sales
import crm_service
from crm_core import CRM, Actor, Contact, Denied, Entity, Field, Plugin, Role, Session
from crm_core.testing import Maker, example, examples_in
from crm_core.testing.conformance import RULES, check
from crm_sales.api import Opportunity, Pipeline, Sales, Stage
from tests.conformance import service_examples
from tests.conformance.faulty.words import translate
from tests.conformance.test_modules import MODULES

CK12 = [rule for rule in RULES if rule.id == "CK12"]
vault = Plugin("acme.vault", version="1.0.0")


class Box(Entity):
    """A box."""

    title: Field[str]


vault.entities(Box)


@vault.service
class Vault:
    """Boxes behind a word."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def store(self, word: str) -> None:
        """Store a box, for whoever knows the word."""
        if word != "sesame":
            raise ValueError(word)
        with self._session.elevated("storing") as more:
            more.create(Box(title=word))

    def names(self, of: Entity, *more: str) -> Iterator[str]:
        """Yield names, once anybody asks for one."""
        assert isinstance(of, Contact)
        self._session.get(Contact, of.id)
        with self._session.elevated("names") as elevated:
            yield elevated.create(Box(title="name")).title

    def break_(self) -> None:
        """Break for who has no right."""
        if not self._session.can("create", Box):
            raise ZeroDivisionError


translate(vault)


@example(Vault.store)
def _word(a: Maker) -> Mapping[str, Any]:
    assert isinstance(a, Maker)
    return {"word": "sesame"}


def test_what_the_kit_cannot_make_up_is_noted_and_found_with_an_example() -> None:
    (alone,) = check(vault, rules=CK12).outcomes
    assert alone.notes == ("not tried, for lack of good arguments: Vault.store; give them with @example(Vault.store)",)
    generator, broken = sorted(alone.reasons, reverse=True)
    assert generator.startswith("Vault.names changes crm_acme_vault_box")
    assert broken == "Vault.break_ for who may only read is answered by ZeroDivisionError instead of Denied"
    (shown,) = check(vault, rules=CK12, examples={Vault.store: _word}).outcomes
    assert [r for r in shown.reasons if r.startswith("Vault.store changes crm_acme_vault_box")]
    assert shown.notes == ()


# No bridge is set here; without a module that sells nothing was won; a survey's token is the right to answer, so nobody is to be denied.
BEYOND = {"erp_bridge": "ErpBridge.status", "marketing": "Marketing.attribute", "service": "Service.respond"}


@pytest.mark.parametrize("plugin", [m.plugin for m in (crm_erp_bridge, crm_marketing, crm_sales, crm_service)], ids=lambda p: p.name)
def test_all_other_methods_of_our_services_are_tried_and_change_nothing_for_who_may_only_read(plugin: Plugin) -> None:
    (outcome,) = check(plugin, others=MODULES, rules=CK12, examples=examples_in(service_examples)).outcomes
    assert outcome.reasons == ()
    assert [note.partition(": ")[2].partition(";")[0] for note in outcome.notes] == [BEYOND[n] for n in [plugin.name] if n in BEYOND]


def test_who_may_make_no_deals_makes_no_pipeline_and_counts_none(make_crm: Any) -> None:
    reader = Role("reader").allow(Pipeline, "read").allow(Stage, "read").allow(Opportunity, "read")
    crm: CRM = make_crm(plugins=[crm_sales.plugin], roles=[reader])
    with crm.session(Actor("1", roles={"reader"}), write=False) as s:
        assert s.use(Sales).funnel() == []
    with crm.session(Actor("1", roles={"reader"})) as s, pytest.raises(Denied):
        s.use(Sales).setup()
    with crm.session(Actor("7", roles={"sales.rep"})) as s:
        assert s.get(Pipeline, s.use(Sales).setup()).main
