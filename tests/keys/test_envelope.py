"""The envelope of a sealed value [C72]: every change of it, and every other place, is a typed error (S8, A34)."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import Unreadable
from crm_core.storage.keys.envelope import fresh_bytes, key_of, place, seal, unseal

KEY = key_of("0123456789abcdef", fresh_bytes(32))
HERE = place("main", "patient.iban", "1", "str")


@given(st.text(max_size=200))
def test_what_was_sealed_comes_back(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert unseal(KEY, HERE, seal(KEY, HERE, text)) == text


@given(st.lists(st.text()), st.lists(st.text()))
def test_two_places_never_have_one_description(one: list[str], other: list[str]) -> None:
    assert (place(*one) == place(*other)) == (one == other)


def test_equal_values_look_different_and_lengths_show_in_steps_of_16() -> None:
    assert seal(KEY, HERE, "a") != seal(KEY, HERE, "a")
    lengths = {len(seal(KEY, HERE, "x" * n)) for n in range(48)}
    assert len(lengths) == 3


def test_each_character_of_an_envelope_counts() -> None:
    rng, envelope = random.Random(7), seal(KEY, HERE, "DE89370400440532013000")
    for at in range(len(envelope)):
        for other in rng.sample(sorted({*string.ascii_letters, *string.digits, "+", "/", "=", " "} - {envelope[at]}), 8):
            with pytest.raises(Unreadable):
                unseal(KEY, HERE, envelope[:at] + other + envelope[at + 1 :])
    for cut in range(len(envelope)):
        with pytest.raises(Unreadable):
            unseal(KEY, HERE, envelope[:cut])
    with pytest.raises(Unreadable):
        unseal(KEY, HERE, envelope + "\n")


@pytest.mark.parametrize(
    "elsewhere",
    [
        place("other", "patient.iban", "1", "str"),
        place("main", "patient.note", "1", "str"),
        place("main", "patient.iban", "2", "str"),
        place("main", "patient.iban", "1", "date"),
        place("main", "patient.iban1", "", "str"),
        "",
    ],
)
def test_an_envelope_opens_at_its_own_place_alone(elsewhere: str) -> None:
    with pytest.raises(Unreadable) as e:
        unseal(KEY, elsewhere, seal(KEY, HERE, "secret"))
    assert e.value.code == "seal_broken"


def test_a_key_of_another_id_is_not_tried() -> None:
    twin = key_of("fedcba9876543210", fresh_bytes(32))
    with pytest.raises(Unreadable):
        unseal(twin, HERE, seal(KEY, HERE, "secret"))


def test_a_key_does_not_show_itself() -> None:
    material = fresh_bytes(32)
    assert material.hex() not in repr(key_of("0123456789abcdef", material))
    assert "cipher" not in repr(KEY)
