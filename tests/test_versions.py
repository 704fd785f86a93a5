"""Versions and ranges: read strictly, compared by number, explained in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import LoadError
from crm_core.versions import Version, VersionRange

versions = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda numbers: ".".join(map(str, numbers)))


def test_versions_compare_by_number_not_by_text() -> None:
    ordered = ["0.9", "1", "1.0.1", "1.2.0", "1.10", "2", "2026.11"]
    assert sorted(map(Version.parse, reversed(ordered))) == [Version.parse(v) for v in ordered]


def test_zeros_at_the_end_say_nothing() -> None:
    assert Version.parse("1.2") == Version.parse("1.2.0")
    assert hash(Version.parse("1.2")) == hash(Version.parse("1.2.0"))
    assert str(Version.parse("1.2.0")) == "1.2.0"


@given(versions, versions)
def test_order_is_that_of_padded_numbers(one: str, two: str) -> None:
    def padded(text: str) -> list[int]:
        return ([int(n) for n in text.split(".")] + [0] * 4)[:4]

    assert (Version.parse(one) < Version.parse(two)) == (padded(one) < padded(two))
    assert (Version.parse(one) == Version.parse(two)) == (padded(one) == padded(two))


@pytest.mark.parametrize(
    "bad", ["", "1.", ".1", "v1", "1.0rc1", "1,2", "1..2", " 1", "-1", "1.2.3.4.5.6.7", "9" * 10, "１.２", "1\n", None, 1, 1.2]
)
def test_what_is_no_version_is_refused(bad: object) -> None:
    with pytest.raises(LoadError) as error:
        Version.parse(bad)  # type: ignore[arg-type]  # the wrong type is the point
    assert error.value.code == "bad_version"


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        (">=1,<2", ["1", "1.0", "1.9.9"], ["0.9", "2", "2.0.0"]),
        (">1,<=2", ["1.0.1", "2.0"], ["1", "1.0", "2.0.1"]),
        ("==1.2", ["1.2", "1.2.0"], ["1.2.1", "1"]),
        ("!=1.2, >=1", ["1.1", "1.3"], ["1.2", "1.2.0", "0.9"]),
        (" >= 1 ", ["1", "7"], ["0.9"]),
        ("", ["0", "99"], []),
    ],
)
def test_a_version_is_inside_a_range_if_every_clause_holds(wanted: str, inside: list[str], outside: list[str]) -> None:
    found = VersionRange.parse(wanted)
    assert [v for v in inside if Version.parse(v) not in found] == []
    assert [v for v in outside if Version.parse(v) in found] == []


@pytest.mark.parametrize("bad", ["1", "~=1", "=>1", ">=1;<2", ">=1,", ",", ">=", "^1", ">=1 <2", ">=x"])
def test_what_is_no_range_is_refused_with_how_to_write_one(bad: str) -> None:
    with pytest.raises(LoadError) as error:
        VersionRange.parse(bad)
    assert "1.2.0" in str(error.value) or ">=1,<2" in str(error.value)


def test_why_a_version_does_not_fit_is_said_in_words() -> None:
    wanted = VersionRange.parse(">=1,<2,!=1.5")
    assert wanted.explain(Version.parse("0.9")) == "0.9 is there, but a version >=1 is needed: use a newer one."
    assert wanted.explain(Version.parse("2.1")) == "2.1 is there, but a version <2 is needed: use an older one."
    assert wanted.explain(Version.parse("1.5.0")) == "1.5.0 is there, but 1.5 is excluded."
    assert VersionRange.parse("==1").explain(Version.parse("2")) == "2 is there, but exactly 1 is needed."
    assert wanted.explain(Version.parse("1.4")) == ""


@given(versions, st.lists(st.tuples(st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]), versions), max_size=3))
def test_a_version_is_outside_exactly_if_there_is_a_reason(version: str, clauses: list[tuple[str, str]]) -> None:
    wanted = VersionRange.parse(",".join(sign + bound for sign, bound in clauses))
    assert (Version.parse(version) in wanted) == (wanted.explain(Version.parse(version)) == "")
    assert VersionRange.parse(str(wanted)) == wanted
