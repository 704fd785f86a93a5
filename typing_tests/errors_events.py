"""What is wrong with an event or a handler is found before it runs."""

from crm_core import Account, Contact, Created, Deleted, Event, Money, Plugin, Ref, Session, Updated

plugin = Plugin("acme.tv", version="1.0")


class Switched(Event[Account], name="acme.tv.switched"):
    price: Money


def emit(account: Account, contact: Ref[Contact]) -> None:
    Switched(record=account.ref)  # E: call-arg, reportCallIssue
    Switched(record=contact, price=Money("1", "EUR"))  # E: arg-type, reportArgumentType
    Switched(record=account.ref, price=1)  # E: arg-type, reportArgumentType
    Switched(record=account.ref, price=Money("1", "EUR"), id="1")  # E: call-arg, reportCallIssue
    Switched(account.ref, Money("1", "EUR"))  # E: call-arg, reportCallIssue
    event = Switched(record=account.ref, price=Money("1", "EUR"))
    event.price = Money("2", "EUR")  # E: misc, reportAttributeAccessIssue
    print(event.cost)  # E: attr-defined, reportAttributeAccessIssue


@plugin.on(Created[Account])  # E: arg-type, reportArgumentType
def wrong_event(s: Session, event: Updated[Account]) -> None: ...


@plugin.on(Created[Account])  # E: arg-type, reportArgumentType
def wrong_entity(s: Session, event: Created[Contact]) -> None: ...


@plugin.on(Deleted[Account], batch=True)  # E: arg-type, reportArgumentType
def one_not_many(s: Session, event: Deleted[Account]) -> None: ...
