"""Real data: Chinese addresses as people type them, and the divisions they lie in, come in whole and are told of in Chinese [C67]."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_core import Account, Actor, Entity, Field, Plugin, Ref, field
from crm_core.io import Importer, mapping_of, open_rows
from crm_core.io.report import KEPT

IMPORT = Actor.system("import", tenant="main")
plugin = Plugin("gb", version="1.0.0")


class Province(Entity):
    name: Field[str]
    external_ref: Field[str | None] = field(default=None, unique=True)


class City(Entity):
    name: Field[str]
    province: Field[Ref[Province]]
    external_ref: Field[str | None] = field(default=None, unique=True)


class Area(Entity):
    name: Field[str]
    city: Field[Ref[City]]
    external_ref: Field[str | None] = field(default=None, unique=True)


plugin.entities(Province, City, Area)


@pytest.fixture
def folder(test_data: Callable[[str], Path]) -> Path:
    return test_data("import/chinese_addresses")


def test_the_divisions_are_as_many_as_is_known_and_lie_where_their_codes_say(make_crm: Any, folder: Path) -> None:
    crm = make_crm(plugins=[plugin])
    parts = [
        ("provinces", {}),
        ("cities", {"province": {"column": "provinceCode", "lookup": "external_ref"}}),
        ("areas", {"city": {"column": "cityCode", "lookup": "external_ref"}}),
    ]
    for name, fields in parts:
        mapping = {"entity": name, "key": "{code}", "ignore": ["provinceCode"], "fields": {"name": "name", **fields}}
        report = Importer(crm, IMPORT, mapping_of(mapping)).run(folder / f"{name}.csv")
        assert (report.created, report.failed) == (report.rows, 0)
    with crm.session(IMPORT, write=False) as s:
        assert [s.query(e).count() for e in (Province, City, Area)] == [31, 342, 2978]
        areas = s.query(Area).preload(Area.city).all()
        assert {a.external_ref[:4] == s.related(a, Area.city).external_ref for a in areas} == {True}
        assert s.query(Province).where(Province.external_ref == "44").one().name == "广东省"


def test_addresses_as_people_type_them_come_in_whole_and_what_fails_is_told_in_chinese(make_crm: Any, folder: Path, tmp_path: Path) -> None:
    crm, errors = make_crm(), tmp_path / "失败.csv"
    with (folder / "tests" / "addr.csv").open(encoding="utf-8", newline="") as stream:
        given = [row[0].strip() for row in csv.reader(stream)][1:]
    mapping = {
        "entity": "account",
        "key": "addr:{原始地址}",
        "fields": {"name": "原始地址", "addresses.street": "原始地址", "industry": "规模"},
    }
    report = Importer(crm, IMPORT, mapping_of(mapping), locale="zh_CN").run(folder / "tests" / "addr.csv", errors=errors)
    assert (report.rows, report.blank + report.failed) == (18_367, given.count(""))
    assert report.created == len({text for text in given if text}) == 16_937
    assert report.created + report.updated + report.unchanged == len([text for text in given if text])
    with errors.open(encoding="utf-8", newline="") as stream:
        head, *failed = csv.reader(stream)
    assert head == ["line", "reason", "原始地址", "规模"]
    assert len(failed) == report.failed > KEPT
    assert Counter(reason for _, reason, *_ in failed).most_common(1)[0][0].endswith("此行的键列为空。")
    with crm.session(IMPORT, write=False) as s:
        assert {a.addresses[0].street for a in s.query(Account).stream()} == {text for text in given if text}


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig", "utf-16"])
def test_the_same_list_in_the_encodings_of_its_country_reads_alike(folder: Path, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "cities.csv"
    path.write_text((folder / "cities.csv").read_text("utf-8"), encoding)

    def read(path: Path) -> list[list[Any]]:
        with open_rows(path) as rows:
            return [list(rows.columns), *(list(row.cells) for row in rows)]

    assert read(path) == read(folder / "cities.csv")
