"""The module as a whole: its words, its roles, its face. What holds for every module: tests/test_modules.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import crm_sales
from crm_core import CRM, Account, Actor, Contact, CRMError, Interaction, Money, Role, owner, subordinates, team
from crm_sales import api, plugin
from crm_sales.api import Lead, Opportunity, Pipeline, Sales, Stage
from crm_sales.messages import _EN
from tests.sales.desk import BOSS, MANAGER, PLAIN, START, Desk, deal, rep

SOURCES = [p.read_text() for p in Path(crm_sales.__file__).parent.glob("*.py") if p.name not in ("labels.py", "messages.py")]
SOURCES = [p.read_text() for p in Path(crm_sales.__file__).parent.glob("*.py") if p.name != "messages.py"]
TEMPLATES = {c.locale: c.templates for c in plugin.definitions.catalogues}


def test_every_code_that_is_used_has_its_words_and_every_word_is_used() -> None:
    code = re.compile(r'(?:Refused\(|refuse\(\w+, |label=)"(sales\.[\w.]+)"')
    used = {found for source in SOURCES for found in code.findall(source)}
    assert used == _EN.keys()


def test_every_action_is_said_in_both_languages(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        d = deal(s)
    for locale, label in (("en", "Win deal"), ("zh_CN", "赢单")):
        with crm.session(Actor("M", roles={"sales.manager"}, locale=locale), write=False) as s:
            assert label in [a.label for a in s.actions(s.get(Opportunity, d.id))]


@pytest.mark.parametrize("entity", [Account, Contact, Lead, Opportunity])
def test_a_rep_sees_and_changes_their_own_and_their_subordinates(crm: CRM, entity: Any) -> None:
    """The role ``sales.rep``: L leads A; D is somebody else's."""
    more = {"amount": Money(1, "EUR")} if entity is Opportunity else {}
    with crm.session(rep("A")) as s:
        made = s.create(entity(name="mine", **more))
        assert made.owner == "A"
    with crm.session(rep("L")) as s:
        assert s.update(entity, made.id, {"name": "led"}).name == "led"
    with crm.session(rep("D")) as s:
        assert s.find(entity, made.id) is None
        assert s.query(entity).count() == 0
        with pytest.raises(CRMError):
            s.update(entity, made.id, {"name": "stolen"})
        with pytest.raises(CRMError):
            s.create(entity(name="theirs", owner="A", **more))
    with crm.session(MANAGER) as s:
        assert s.update(entity, made.id, {"owner": "D"}).owner == "D"


def test_a_rep_configures_nothing_and_a_manager_does(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        deal(s)
        stage = s.query(Stage).first()
        assert stage is not None
        with pytest.raises(CRMError):
            s.update(Stage, stage.id, {"label": "Fresh"})
        with pytest.raises(CRMError):
            s.create(Pipeline(key="mine", name="Mine"))
    with crm.session(MANAGER) as s:
        assert s.update(Stage, stage.id, {"label": "Fresh"}).label == "Fresh"


def test_a_hosts_role_that_knows_nothing_of_stages_sells_all_the_same(make_crm: Any) -> None:
    """The embedder's own role, word for word."""
    host = (
        Role("sales_rep", label="Sales rep")
        .allow(Account, "read", "create", where=team | subordinates)
        .allow(Opportunity, "read", "create", "update", where=owner | subordinates)
    )
    crm = make_crm(plugins=[PLAIN], roles=[host], directory=Desk())
    with crm.session(Actor("A", roles={"sales_rep"})) as s:
        d = s.create(Opportunity(name="x", amount=Money(1, "EUR")))
        assert s.use(Sales).win(d, reason="price").stage == "won"


def test_tenants_do_not_meet(crm: CRM) -> None:
    with crm.session(BOSS) as s:
        s.use(Sales).intake(api.LeadIntake(name="Anna", email="anna@x.io"), key="1")
        deal(s)
    with crm.session(Actor.system("tests", tenant="other")) as s:
        assert s.use(Sales).intake(api.LeadIntake(name="Anna", email="anna@x.io"), key="1").created
        assert deal(s).pipeline == "main"
        assert (s.query(Lead).count(), s.query(Opportunity).count(), s.query(Pipeline).count()) == (1, 1, 1)
        assert s.use(Sales).quote(s.query(Opportunity).one(), []).number == "Q-00001"


def test_an_interaction_with_a_deal_of_ones_own_is_seen(crm: CRM) -> None:
    with crm.session(rep("A")) as s:
        s.create(Interaction(at=START, subject="call"))
        assert s.query(Interaction).count() == 1
