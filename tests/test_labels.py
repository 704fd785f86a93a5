"""What the core and each module name is called in English and in Chinese, and what they say is worded in both."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from crm_core import CRM, Account, Actor, Contact, Entity, Extension, Field, Plugin, field
from crm_core.hooks.core_specs import CORE
from crm_core.hooks.registry import Registry
from crm_core.labels import ids
from crm_core.testing.conformance.wording import placeholders
from tests.test_messages import raised_in

MODULES = ("analytics", "erp_bridge", "marketing", "sales", "service")
PLUGINS: Mapping[str, Plugin] = {"core": CORE, **{name: importlib.import_module(f"crm_{name}").plugin for name in MODULES}}
EVERYTHING = Registry([PLUGINS[name] for name in MODULES])
CHINESE = re.compile("[\u4e00-\u9fff]")


def words(name: str) -> dict[str, dict[str, str]]:
    """What a module's own catalogues say, by language."""
    found: dict[str, dict[str, str]] = {"en": {}, "zh": {}}
    for catalogue in PLUGINS[name].definitions.catalogues:
        found[catalogue.locale].update(catalogue.templates)
    return found


def named(name: str) -> Iterator[str]:
    """All that a module and its companions name; what every record has is the core's."""
    for plugin in EVERYTHING.plugins:
        if plugin.name == name or plugin.name.startswith(f"{name}."):
            yield from (code for code in ids(plugin) if name == "core" or not code.startswith("core."))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("module", PLUGINS)
def test_everything_that_a_module_names_has_its_words_in_both_languages(module: str, language: str) -> None:
    known = words(module)[language]
    missing = [code for code in named(module) if code not in known]
    assert missing == []


@pytest.mark.parametrize("module", PLUGINS)
def test_a_modules_labels_are_sorted_and_of_something_that_there_is(module: str) -> None:
    package = "crm_core.catalogues" if module == "core" else f"crm_{module}"
    labels: Mapping[str, Any] = importlib.import_module(f"{package}.labels").LABELS
    assert list(labels) == sorted(labels)
    assert set(labels) - set(named(module)) == set()


@pytest.mark.parametrize("module", PLUGINS)
def test_a_module_says_the_same_in_both_languages_each_in_its_own_words(module: str) -> None:
    english, chinese = words(module)["en"], words(module)["zh"]
    assert english.keys() == chinese.keys()
    assert [code for code in english if placeholders(english[code]) != placeholders(chinese[code])] == []
    assert [code for code, said in english.items() if CHINESE.search(said)] == []
    assert [code for code, said in chinese.items() if not CHINESE.search(said)] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_message_that_a_module_raises_has_its_words_in_both_languages(module: str) -> None:
    messages = importlib.import_module(f"crm_{module}.messages")
    raised = raised_in(Path(str(messages.__file__)).parent)
    own = {code: where for code, where in raised.items() if code.startswith(f"{module}.")}
    assert len(own) > 5
    for language in (messages._EN, messages._ZH):
        assert {code: where for code, where in own.items() if code not in language} == {}
        assert list(language) == sorted(language)


def test_the_demonstration_says_all_in_both_languages() -> None:
    from crm_demo.words import EN, ZH

    assert EN.keys() == ZH.keys()
    assert [code for code in EN if placeholders(EN[code]) != placeholders(ZH[code])] == []
    assert [code for code, said in ZH.items() if not CHINESE.search(said) and re.search("[a-z]{3}", re.sub(r"{\w+}", "", EN[code]))] == []


class Boat(Entity):
    """Something without a catalogue."""

    hull_number: Field[str]


@pytest.fixture
def crm() -> Iterator[CRM]:
    plugin = Plugin("yard", version="1.0.0")
    plugin.entities(Boat)
    plugin.measure("boats", Boat, label="Boats at Sea", unit="boats", formula="number of boats")
    made = CRM("sqlite://", plugins=[PLUGINS["sales"], PLUGINS["service"], plugin])
    made.migrate()
    yield made
    made.close()


def test_a_form_speaks_the_actors_language_also_of_what_every_record_has_and_of_fields_that_plugins_add(crm: CRM) -> None:
    form = crm.describe(Contact, Actor.system("test", tenant="main"))["fields"]
    chinese = crm.describe(Contact, Actor("7", roles={"sales.manager", "service.manager"}, locale="zh_CN"))
    assert (chinese["label"], chinese["fields"]["created_at"]["label"]) == ("联系人", "创建时间")
    channel = chinese["fields"]["service_channel"]
    assert (form["service_channel"]["label"], channel["label"]) == ("Preferred channel", "首选渠道")
    assert {o["value"]: o["label"] for o in channel["options"]}["email"] == "电子邮件"


def test_a_json_schema_has_titles_and_labels_of_options_in_a_language(crm: CRM) -> None:
    english, chinese = crm.json_schema(Account), crm.json_schema(Account, "zh_CN")
    assert (english["properties"]["kind"]["title"], chinese["properties"]["kind"]["title"]) == ("Kind", "类型")
    assert chinese["properties"]["kind"]["x-labels"] == {"company": "公司", "person": "个人"}
    assert chinese["properties"]["service_tier"]["title"] == "服务等级"
    assert json.loads(json.dumps(chinese)) == chinese


def test_a_front_end_takes_all_names_at_once(crm: CRM) -> None:
    english, chinese = crm.labels(), crm.labels("zh-CN")
    assert english.keys() == chinese.keys()
    assert (english["sales.lead"], chinese["sales.lead"], chinese["sales.permission.convert"]) == ("Lead", "线索", "转化线索")
    assert "marketing.campaign" not in english


def test_what_has_no_catalogue_is_called_by_its_name(crm: CRM) -> None:
    shown = crm.describe(Boat, Actor("7", locale="zh_CN"))
    assert shown["label"] == "Boat"
    assert crm.json_schema(Boat, "zh")["properties"]["hull_number"]["title"] == "Hull number"
    labels = crm.labels("zh")
    assert (labels["yard.boat"], labels["yard.boat.hull_number"], labels["Boats at Sea"]) == ("Boat", "Hull number", "Boats at Sea")


def test_labels_fall_back_to_what_is_declared_with_the_field_and_the_plugin() -> None:
    class Parcel(Entity):
        weight: Field[int] = field(default=0, label="Gross weight")

    class Post(Extension):
        zone: Field[str] = field(default="", label="Postal zone")

    plugin = Plugin("acme.post", version="1.0", label="Post office")
    plugin.entities(Parcel)
    plugin.extend(Account)(Post)
    crm = CRM("sqlite://", plugins=[plugin])
    said = crm.labels()
    assert said["acme.post.parcel.weight"] == crm.json_schema(Parcel)["properties"]["weight"]["title"] == "Gross weight"
    assert said["acme.post.account.acme_post_zone"] == "Postal zone"
    assert said["acme.post.label"] == "Post office"
    crm.close()
