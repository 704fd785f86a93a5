"""What the core itself shows beside customers, as plugins do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..entities.activity import Tag, Tagging
from ..entities.customer import Account, Contact
from ..entities.entity import Entity

if TYPE_CHECKING:
    from ..session import Session

MOST = 50


def contacts(session: Session, account: Account) -> dict[str, Any]:
    """The people of a customer."""
    page = session.query(Contact).where(Contact.account == account.ref).page(MOST)
    return {"contacts": page.items, "more": page.has_more}


def tags(session: Session, record: Entity) -> dict[str, Any]:
    """The tags on a customer."""
    given = session.query(Tagging).where(Tagging.record == record.id).page(MOST)
    return {"tags": session.get_many(Tag, [tagging.tag for tagging in given]), "more": given.has_more}
