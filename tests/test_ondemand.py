"""What is made when it is first asked for is made once, whoever asks first."""

from __future__ import annotations

import time
from functools import partial

import pytest

from crm_core import CRM
from crm_core.ondemand import OnFirstUse
from tests.threads import at_once


class House:
    def __init__(self) -> None:
        self.made = 0
        self.fails = 0

    @OnFirstUse
    def room(self) -> object:
        """A room."""
        if self.fails:
            self.fails -= 1
            raise RuntimeError
        time.sleep(0.02)  # so that the others come while it is made
        self.made += 1
        return object()


def test_of_many_threads_that_ask_first_one_makes_it_and_all_get_that() -> None:
    house = House()
    assert len({id(room) for room in at_once(lambda _: house.room, range(8))}) == 1
    assert house.made == 1


def test_what_failed_is_tried_again_by_who_asks_next() -> None:
    house = House()
    house.fails = 1
    with pytest.raises(RuntimeError):
        house.room  # noqa: B018  # it fails
    assert house.room is house.room


def test_each_object_has_its_own() -> None:
    one, two = House(), House()
    assert one.room is not two.room
    assert isinstance(House.room, OnFirstUse)


def test_a_crm_has_one_of_each_room_whichever_thread_enters_first() -> None:
    crm = CRM("sqlite://")
    rooms = [name for cls in type(crm).__mro__ for name, made in vars(cls).items() if isinstance(made, OnFirstUse)]
    assert {"migrations", "quarantine", "denials", "tenants", "writer"} <= {*rooms} - vars(crm).keys()
    for name in rooms:
        assert len({id(room) for room in at_once(partial(getattr, crm), [name] * 4)}) == 1, name
