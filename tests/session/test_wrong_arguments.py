"""What a session says to code that calls it with something of the wrong kind."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from crm_core import Account, Actor, Invalid, Plugin, Session

SYSTEM = Actor.system("test", tenant="main")


@attrs.frozen
class Settings:
    """A plugin's settings."""

    days: int = 3


@pytest.mark.parametrize("given", [Settings, Account, 5, "Shop"], ids=str)
def test_only_a_service_can_be_used(make_crm: Any, given: Any) -> None:
    plugin = Plugin("shop", version="1.0", settings=Settings)

    @plugin.service
    class Shop:
        def __init__(self, session: Session) -> None:
            self.session = session

    crm = make_crm(plugins=[plugin])
    with crm.session(SYSTEM) as s:
        assert s.use(Shop).session.plugin == "shop"
        with pytest.raises(Invalid) as caught:
            s.use(given)
    assert caught.value.code == "service_unknown"
