"""The module as a whole: its words, its roles, its settings and its codecs. What holds for every module: tests/test_modules.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crm_erp_bridge
from crm_core import CRM, Actor, CRMError, Denied, Invalid, LoadError, Role
from crm_erp_bridge import api, plugin
from crm_erp_bridge.api import Bridge, CheckResult, Connector, ErpBridge, FolderDrop, NotOffered, Op, OpResult, Page, Sync
from crm_erp_bridge.codecs import CODECS, Options
from crm_erp_bridge.mapping import ErpMapping
from crm_erp_bridge.messages import _EN
from crm_erp_bridge.settings import Settings
from tests.erp_bridge.conftest import OPERATOR, SYSTEM, Desk, order
from tests.erp_bridge.http_desk import START

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "erp.md").read_text(encoding="utf-8")
FILES = [p for p in Path(crm_erp_bridge.__file__).parent.glob("*.py") if p.name not in ("labels.py", "messages.py")]
SOURCES = "\n".join(p.read_text(encoding="utf-8") for p in FILES)


def test_every_code_that_the_module_uses_has_its_words_and_no_words_are_left_over() -> None:
    used = set(re.findall(r'"(erp_bridge\.[a-z_.]+)"', SOURCES))
    known = {"erp_bridge.order", "erp_bridge.operate", "erp_bridge.reader", "erp_bridge.operator", "erp_bridge.deals", "erp_bridge.due"}
    assert used - set(_EN) - known == set()
    assert set(_EN) - used == set()


def test_roles_of_the_module_carry_its_name() -> None:
    roles: list[Role] = plugin.definitions.roles
    assert [r.name for r in roles] == ["erp_bridge.reader", "erp_bridge.operator"]


def test_labels_follow_the_actors_language(desk: Desk) -> None:
    chinese = desk.crm.describe(api.Order, Actor("7", roles={"erp_bridge.reader"}, locale="zh_CN"))
    assert {o["value"]: o["label"] for o in chinese["fields"]["status"]["options"]}["cancelled"] == "已取消"


def test_only_an_operator_may_replay(desk: Desk) -> None:
    assert [a.name for a in desk.crm.registry.actions.values() if a.permission == "erp_bridge.operate"] != []
    with desk.crm.session(Actor("9", roles={"erp_bridge.reader"})) as s:
        assert not s.can("read", api.Outbound)
    with desk.crm.session(OPERATOR) as s:
        assert s.can("read", api.Outbound)
        assert not s.can("update", api.Outbound)
    looker = Role("looker").allow(api.Parked, "read")
    with desk.crm.session(SYSTEM) as s:
        s.define_role(looker)
    desk.drop("order-1.json", order("O1", "nobody"))
    desk.sync.pull()
    with desk.crm.session(Actor("9", roles={"looker"})) as s:
        (letter,) = s.use(ErpBridge).dead_letters()
        with pytest.raises(Denied):
            s.use(ErpBridge).replay(letter)


def test_bridges_are_the_hosts_objects_and_no_tenants_setting(desk: Desk) -> None:
    with desk.crm.session(SYSTEM) as s:
        assert s.change_settings(Settings, {"overlap_minutes": 15}).bridges[0].name == "files"
    with desk.crm.session(SYSTEM) as s:
        assert (s.settings(Settings).overlap_minutes, s.settings(Settings).bridges[0].name) == (15, "files")
        with pytest.raises(Invalid):
            s.change_settings(Settings, {"bridges": [{"name": "evil"}]})


def test_an_unknown_bridge_is_named_with_those_there_are(desk: Desk) -> None:
    with pytest.raises(Invalid) as error:
        Sync(desk.crm, "flies")
    assert (error.value.code, error.value.params["known"]) == ("erp_bridge.unknown_bridge", ["files"])


def test_two_bridges_of_one_name_are_refused(desk: Desk, make_crm: Callable[..., CRM]) -> None:
    one = Bridge("files", FolderDrop, mapping=desk.root / "erp.toml")
    with pytest.raises(LoadError):
        make_crm(plugins=[plugin.configured(bridges=[one, one])])


def test_what_a_connector_does_not_write_it_does_not_offer() -> None:
    class Least(Connector):
        def check(self) -> CheckResult:
            return CheckResult(version="1", server_time=START, scopes=())

        def read(self, entity: str, cursor: str | None, until: datetime, limit: int, scope: str) -> Page:
            return Page([], complete=True)

        def apply(self, ops: Sequence[Op]) -> list[OpResult]:
            return []

    least = Least()
    assert least.capabilities()["offers"] == []
    with pytest.raises(NotOffered):
        least.find("customer", "k")


def test_a_connector_that_lacks_what_is_needed_is_not_made() -> None:
    class Unfinished(Connector):
        pass

    with pytest.raises(TypeError, match=r"apply.*check.*read"):
        Unfinished()  # type: ignore[abstract]  # the mistake


def test_a_live_question_goes_to_the_connector_and_no_further(desk: Desk) -> None:
    with pytest.raises(NotOffered) as error:
        desk.sync.ask("stock", {"product": "P1"})
    assert error.value.params["what"] == "stock"


MAPPINGS = {
    "no record": "[customer]\nfields = {}",
    "unknown key": '[customer]\nrecord = "account"\nfields = {}\ncolour = "red"',
    "flow": '[customer]\nrecord = "account"\nto_erp = "sometimes"\nfields = {}',
    "codec": '[customer]\nrecord = "account"\nfields = { name = { erp = "n", codec = "magic" } }',
    "owner": '[customer]\nrecord = "account"\nfields = { name = { erp = "n", owner = "newest" } }',
    "currency": '[order]\nrecord = "erp_bridge.order"\nfields = { total = { erp = "t", codec = "money" } }',
    "stream": '[order]\nrecord = "erp_bridge.order"\nfields = { account = { erp = "c", codec = "ref", stream = "customer" } }',
    "circle": '[a]\nrecord = "x"\nfields = { f = { erp = "c", codec = "ref", stream = "b" } }\n'
    '[b]\nrecord = "y"\nfields = { f = { erp = "c", codec = "ref", stream = "a" } }',
    "no path": '[customer]\nrecord = "account"\nfields = { name = 5 }',
    "zone": '[order]\nrecord = "x"\nfields = { at = { erp = "t", codec = "instant", zone = "Mars/Olympus" } }',
    "fixed currency": '[order]\nrecord = "x"\nfields = { total = { erp = "t", codec = "money", currency = "=EUX" } }',
    "no values": '[order]\nrecord = "x"\nfields = { state = { erp = "t", codec = "enum" } }',
    "values": '[order]\nrecord = "x"\nfields = { state = { erp = "t", codec = "enum", values = ["A"] } }',
    "toml": "[customer",
}  # fmt: skip


@pytest.mark.parametrize("text", MAPPINGS.values(), ids=MAPPINGS)
def test_a_mapping_that_cannot_be_is_refused_where_it_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(LoadError) as error:
        ErpMapping.load(tmp_path / "bad.toml")
    assert error.value.code == "erp_bridge.bad_mapping"
    assert "bad.toml" in error.value.params["source"]
    assert bool(error.value.params["section"]) is (text != MAPPINGS["toml"]), "it says where"


OPTIONS = Options(currency="c", values={"a": "A", "b": "B"})
CANONICAL: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1),
    "int": st.integers(),
    "decimal": st.decimals(-(10**20), 10**20, places=6).map(lambda d: CODECS["decimal"].to_crm(d, OPTIONS)),
    "bool": st.booleans(),
    "date": st.dates().map(lambda d: d.isoformat()),
    "instant": st.datetimes().map(lambda d: CODECS["instant"].to_crm(d.replace(year=2026).isoformat(), OPTIONS)),
    "enum": st.sampled_from(["a", "b"]),
}


@pytest.mark.parametrize("codec", CANONICAL)
@given(data=st.data())
def test_every_codec_gives_back_what_it_wrote(codec: str, data: st.DataObject) -> None:
    value = data.draw(CANONICAL[codec])
    assert CODECS[codec].to_crm(CODECS[codec].to_erp(value, OPTIONS), OPTIONS) == value


@pytest.mark.parametrize(
    ("codec", "given_value"),
    [
        ("decimal", 1.5),
        ("int", "1.5"),
        ("bool", "maybe"),
        ("date", "10.01.2026"),
        ("instant", "x"),
        ("enum", "C"),
        ("instant", "9999-12-31T23:59:59-12:00"),
        ("decimal", "1e3000000"),
        ("text", "a\x00"),
        ("ref", "\ud800"),
        ("money", (1.5, "EUR")),
    ],
)
def test_what_a_codec_cannot_read_exactly_it_does_not_guess(codec: str, given_value: Any) -> None:
    with pytest.raises(CRMError) as error:
        CODECS[codec].to_crm(given_value, OPTIONS)
    assert error.value.code == "erp_bridge.bad_value"
