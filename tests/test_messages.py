"""Messages: complete in both languages, never failing, and never giving away what people wrote."""

from __future__ import annotations

import ast
import enum
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crm_core.errors
from crm_core.catalogues import cli_en, cli_zh, en, zh
from crm_core.errors import CRMError, Detail
from crm_core.messages import Catalogue, Messages, core_catalogues, redact, text
from crm_core.testing.conformance.wording import codes_in, placeholders

EN, ZH = (dict(catalogue.templates) for catalogue in core_catalogues())
SOURCE = Path(crm_core.errors.__file__).parent
ERRORS = [c for c in vars(crm_core.errors).values() if isinstance(c, type) and issubclass(c, CRMError)]


def test_the_languages_have_the_same_messages() -> None:
    assert [catalogue.locale for catalogue in core_catalogues()] == ["en", "zh"]
    assert sorted(EN) == sorted(ZH)


def test_a_message_has_the_same_parameters_in_both_languages() -> None:
    assert {code: placeholders(EN[code]) for code in EN} == {code: placeholders(ZH[code]) for code in EN}


@pytest.mark.parametrize("file", [en, zh, cli_en, cli_zh], ids=lambda file: str(file.__name__))
def test_messages_stand_in_the_order_of_their_ids(file: ModuleType) -> None:
    assert list(file.TEMPLATES) == sorted(file.TEMPLATES)


def test_a_message_stands_in_one_file() -> None:
    assert not en.TEMPLATES.keys() & cli_en.TEMPLATES.keys()


def test_a_message_is_a_sentence_whose_brackets_are_closed() -> None:
    for code in EN:
        for template in (EN[code], ZH[code]):
            assert template.count("[") == template.count("]"), code
            assert template.rstrip("]")[-1] in ".。?？" or template.endswith("}"), code
        assert re.search("[\u4e00-\u9fff]", ZH[code]) or not re.search("[a-z]{3}", re.sub(r"\{\w+\}", "", EN[code])), code


def test_what_a_message_may_leave_out_holds_a_parameter() -> None:
    for code in EN:
        for template in (EN[code], ZH[code]):
            assert all(placeholders(part) for part in re.findall(r"(?<!\[)\[([^\[\]]*)\](?!\])", template)), code


def raised_in(package: Path) -> dict[str, str]:
    """The message ids that a package's modules raise, with where."""
    trees = {str(file.relative_to(package)): ast.parse(file.read_text("utf-8")) for file in sorted(package.rglob("*.py"))}
    return {code: file for file, tree in trees.items() for code, _ in codes_in(tree)}


def test_every_message_that_the_core_raises_has_a_template() -> None:
    raised = raised_in(SOURCE) | {c.default_code: "errors.py" for c in ERRORS}
    assert len(raised) > 40
    assert {code: file for code, file in raised.items() if code not in EN} == {}


def test_parameters_are_filled_in() -> None:
    assert text("mixed_currency", {"one": "EUR", "other": "USD"}).startswith("Amounts in EUR and USD cannot be added")
    assert text("mixed_currency", {"one": "EUR", "other": "USD"}, "zh").startswith("EUR 与 USD 的金额")


def test_an_optional_part_is_left_out_where_its_parameter_is_missing_or_empty() -> None:
    assert text("bad_currency", {"given": "EUT", "suggestion": "EUR"}) == "EUT is not a currency of ISO 4217. Did you mean EUR?"
    assert text("bad_currency", {"given": "QQQ", "suggestion": ""}) == text("bad_currency", {"given": "QQQ"})
    assert text("bad_currency", {"given": "QQQ"}) == "QQQ is not a currency of ISO 4217."


def test_no_message_fails_for_missing_parameters() -> None:
    for code in EN:
        for locale in ("en", "zh"):
            said = text(code, {}, locale)
            assert said, code
            assert "{" not in said, code


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("en", "You may not do this."),
        ("en_GB", "You may not do this."),
        ("zh", "您无权执行此操作。"),
        ("zh_CN", "您无权执行此操作。"),
        ("zh-CN", "您无权执行此操作。"),
        ("zh_Hans_CN", "您无权执行此操作。"),
        ("fr", "You may not do this."),
        ("", "You may not do this."),
    ],
)
def test_a_locale_falls_back_to_its_language_and_then_to_english(locale: str, said: str) -> None:
    assert text("denied", {}, locale) == said


def test_an_unknown_message_is_its_id_with_its_parameters() -> None:
    assert text("acme.blocked", {"tier": "gold", "n": 3}) == "acme.blocked (tier=gold, n=3)"
    assert text("acme.blocked", {}) == "acme.blocked"


def test_a_plugin_brings_messages_of_its_own_and_changes_no_other_crm() -> None:
    ours = Messages([Catalogue("en", {"acme.blocked": "{tier} is blocked."}), Catalogue("de", {"denied": "Das dürfen Sie nicht."})])
    assert ours.text("acme.blocked", {"tier": "gold"}, "fr") == "gold is blocked."
    assert ours.text("denied", {}, "de_AT") == "Das dürfen Sie nicht."
    assert ours.template("acme.nothing") is None
    assert Messages().text("denied", {}, "de_AT") == "You may not do this."
    assert text("acme.blocked", {}) == "acme.blocked"


def test_a_value_in_a_message_cannot_forge_a_line_of_a_log() -> None:
    said = text("bad_id", {"given": "x\n2026-11-21 INFO admin login ok\x1b[2J"})
    assert said.isprintable()
    assert "admin login ok" in said


def test_a_value_in_a_message_is_never_read_as_a_template() -> None:
    assert text("bad_id", {"given": "{limit} [x]", "limit": "secret"}).startswith("{limit} [x] is not an id")


def test_a_huge_value_makes_no_huge_message() -> None:
    for value in ("x" * 50_000_000, 10**1_000_000, ["x"] * 1_000_000):
        assert len(text("bad_id", {"given": value})) < 400


@pytest.mark.parametrize("values", [["a", "b"], ("a", "b")])
def test_a_list_is_joined_with_commas(values: object) -> None:
    assert text("bad_enum", {"allowed": values}) == "The value is not one of a, b."


class Tier(enum.Enum):
    GOLD = "gold"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ann@example.com", "str(15)"),
        (b"secret", "bytes(6)"),
        (["secret"], "list(1)"),
        ({"secret": 1}, "dict(1)"),
        ({"secret"}, "set(1)"),
        (Detail("a", "b", "c"), "Detail"),
        (None, "None"),
        (True, "True"),
        (-5, "-5"),
        (1.5, "1.5"),
        (Decimal("12.50"), "12.50"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (timedelta(hours=1), "1:00:00"),
        (Tier.GOLD, "gold"),
        (10**200, "int(665 bits)"),
        (Decimal("1" * 100), "1" * 39 + "…"),
    ],
)
def test_text_is_shown_by_type_and_size_and_numbers_and_dates_as_they_are(value: object, shown: str) -> None:
    assert redact(value) == shown


@given(st.text(min_size=4) | st.binary(min_size=4) | st.lists(st.text(min_size=4), min_size=1))
def test_redaction_never_shows_a_text(value: str | bytes | list[str]) -> None:
    assert re.fullmatch(r"(str|bytes|list)\(\d+\)", redact(value))


def test_a_detail_speaks_in_both_languages() -> None:
    detail = Detail("account", "name", "too_long", "str(300)", {"limit": 255, "length": 300})
    assert detail.message() == "The value is longer than the limit of 255: 300."
    assert detail.message("zh_CN") == "值的长度超出上限 255：300。"


def test_a_problem_speaks_the_words_of_the_plugins_that_a_crm_has() -> None:
    error = CRMError("acme.blocked", details=[Detail("account", "tier", "acme.tier")], tier="gold")
    messages = Messages([Catalogue("de", {"acme.blocked": "{tier} ist gesperrt", "acme.tier": "Nicht diese Stufe"})])
    problem = error.problem("de_AT", messages)
    assert (problem["title"], problem["errors"][0]["message"]) == ("gold ist gesperrt", "Nicht diese Stufe")
    assert error.problem("de")["title"] == "acme.blocked (tier=gold)"
