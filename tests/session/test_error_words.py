"""What ``str(error)`` says of a plugin's error: the words of the CRM that it came out of, and its code; never those of another CRM."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import attrs
import pytest

from crm_core import Account, Actor, Created, CRMError, Plugin, Ref, Refused, Session, check_write
from crm_core.hooks.core_specs import Change, WriteCtx

SYSTEM = Actor.system("test", tenant="main")


class TooFew(CRMError):
    """There are not enough points."""

    default_code, status = "acme.club.too_few", 422


@attrs.define
class Redeem:
    """Ask for a gift."""

    account: Ref[Account]


class Club:
    """A service that refuses."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def join(self) -> None:
        raise Refused("acme.club.too_few", given=1)


def club(words: str = "{given} points are too few.") -> Plugin:
    """A plugin that refuses whatever is asked of it, in its own words."""
    plugin = Plugin("acme.club", version="1.0.0")
    plugin.catalogue("en", {"acme.club.too_few": words, "acme.club.banned": "Nobody is called {name} here.", "acme.club.redeem": "Redeem"})
    plugin.catalogue("zh", {"acme.club.too_few": "{given} 分太少。"})

    @plugin.action(permission="acme.club.redeem", on=Account)
    def redeem(s: Session, command: Redeem) -> None:
        raise TooFew(given=3)

    @plugin.hook(check_write, on=Account)
    def nobody(ctx: WriteCtx, changes: list[Change]) -> None:
        for change in changes:
            if change.record.name == "Bad":  # type: ignore[attr-defined]
                ctx.refuse(change, "acme.club.banned", name=change.record.name)  # type: ignore[attr-defined]

    @plugin.on(Created[Account])
    def greet(s: Session, event: Created[Account]) -> None:
        raise TooFew(given=5)

    plugin.service(Club)
    return plugin


def test_a_traceback_of_an_action_has_the_plugins_words_and_the_code(make_crm: Any) -> None:
    with make_crm(plugins=[club()]).session(SYSTEM) as s:
        account = s.create(Account(name="Acme"))
        with pytest.raises(TooFew) as caught:
            s.perform(Redeem(account=account.ref))
    assert str(caught.value) == "3 points are too few. (acme.club.too_few)"
    assert traceback.format_exception_only(caught.value)[-1].endswith("TooFew: 3 points are too few. (acme.club.too_few)\n")
    assert caught.value.message("zh") == "3 分太少。"
    assert caught.value.problem("zh_CN")["title"] == "3 分太少。"


def test_a_refusal_of_a_hook_has_its_words_for_each_record(make_crm: Any) -> None:
    with make_crm(plugins=[club()]).session(SYSTEM) as s, pytest.raises(Refused) as caught:
        s.create(Account(name="Bad"))
    assert "Nobody is called Bad here. (acme.club.banned)" in str(caught.value)


def test_what_a_service_raises_has_its_words_when_it_leaves_the_session(make_crm: Any) -> None:
    crm = make_crm(plugins=[club()])
    with pytest.raises(Refused) as caught, crm.session(SYSTEM) as s:
        s.use(Club).join()
    assert str(caught.value) == "1 points are too few. (acme.club.too_few)"


def test_what_a_subscriber_raises_is_kept_with_its_words(make_crm: Any) -> None:
    crm = make_crm(plugins=[club()])
    with crm.session(SYSTEM) as s:
        s.create(Account(name="Acme"))
    crm.run_pending()
    (parked,) = crm.delivery.parked()
    assert "5 points are too few. (acme.club.too_few)" in parked.error


def test_an_error_has_the_words_of_the_crm_it_came_out_of_and_no_others(make_crm: Any) -> None:
    one, other = club(), club("Please collect more than {given}.")
    said = []
    for plugin in (one, other):
        with pytest.raises(Refused) as caught, make_crm(plugins=[plugin]).session(SYSTEM) as s:
            s.use(Club).join()
        said.append(str(caught.value))
    assert said == ["1 points are too few. (acme.club.too_few)", "Please collect more than 1. (acme.club.too_few)"]


def test_an_error_that_was_in_no_session_shows_its_code_and_what_it_was_given() -> None:
    assert str(TooFew(given=3)) == "acme.club.too_few (given=3)"
    assert str(pickle.loads(pickle.dumps(TooFew(given=3)))) == "acme.club.too_few (given=3)"


def test_the_cores_own_errors_say_words_alone(make_crm: Any) -> None:
    with make_crm(plugins=[club()]).session(SYSTEM) as s, pytest.raises(CRMError) as caught:
        s.get(Account, "0192aaaa-0000-7000-8000-000000000000")
    assert "(not_found)" not in str(caught.value)
