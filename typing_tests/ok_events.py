"""Events are typed where they are declared, emitted and handled."""

from datetime import datetime
from typing import Any, assert_type

import attrs

from crm_core import Account, AsyncCRMSession, Created, Deleted, Event, Money, Plugin, Ref, Restored, Session, Updated
from crm_core.events.event import Change

plugin = Plugin("acme.tv", version="1.0")


class Switched(Event[Account], name="acme.tv.switched", version=2):
    price: Money
    channel: int = 1
    tags: tuple[str, ...] = attrs.field(factory=tuple)


@Switched.upcast(1)
def from_one(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "channel": 0}


def emit(s: Session, account: Account) -> None:
    event = Switched(record=account.ref, price=Money("1", "EUR"), tags=("a",))
    assert_type(event.price, Money)
    assert_type(event.channel, int)
    assert_type(event.record, Ref[Account])
    assert_type(event.at, datetime)
    assert_type(event.id, str)
    s.emit(event)


@plugin.on(Switched)
def switched(s: Session, event: Switched) -> None:
    assert_type(s.find(Account, event.record), Account | None)


@plugin.on(Created[Account])
def created(s: Session, event: Created[Account]) -> None:
    assert_type(event.record, Ref[Account])
    assert_type(s.get(Account, event.record).name, str)
    print(event.new["name"])


@plugin.on(Created[Account])
async def created_async(s: AsyncCRMSession, event: Created[Account]) -> None:
    assert_type(await s.get(Account, event.record), Account)


@plugin.on(Updated[Account], on_failure="skip", from_start=True)
def updated(s: Session, event: Updated[Account]) -> None:
    assert_type(event.changes["name"], Change)


@plugin.on(Deleted[Account], batch=True)
def deleted(s: Session, events: list[Deleted[Account]]) -> None:
    print([event.old for event in events])


@plugin.on(Restored[Account], external=True)
def restored(s: Session, event: Restored[Account]) -> None:
    print(event.id, event.without(["name"]).changes)


@plugin.on(Created[Account])
@plugin.on(Updated[Account])
def either(s: Session, event: Event[Account]) -> None:
    assert_type(event.record, Ref[Account])
