"""The CRM: on Django's connection, so in its transactions, its test database and its tests."""

from crm_core import CRM, Account, Created, Event, Note, Plugin, Role, Session, owner

plugin = Plugin("shop", version="1.0.0")
plugin.grants("account:read", "note:create")


@plugin.on(Created[Account])
def greet(s: Session, event: Event[Account]) -> None:
    if account := s.find(Account, event.record):  # None where it is deleted by now
        s.create(Note(body=f"Send a welcome to {account.name}", owner=account.owner))


seller = Role("seller").allow(Account, "read", "create", "update", where=owner).allow(Note, "read", where=owner)
manager = Role("manager", extends=["seller"]).allow(Account, "read", "update", "delete").allow(Note, "read")
crm = CRM("django://default", plugins=[plugin], roles=[seller, manager])
