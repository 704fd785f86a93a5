"""What the fields of records mean: what the entity's docstring says of one, else what a field of that name means everywhere."""

from __future__ import annotations

import inspect
import re
from typing import Any

from .markdown import section

USUAL = {
    "account": "the customer it is about",
    "active": "whether it is in use; what is not is kept for what points at it",
    "addresses": "postal addresses, each with what it is for",
    "amount": "what it is worth",
    "at": "when it happened",
    "attempts": "how often it was begun",
    "body": "the text",
    "by": "who did it: the id of a user",
    "campaign": "the campaign it belongs to",
    "channel": "by which way: e-mail, telephone, web and so on",
    "contact": "the person it is about",
    "currency": "the currency of its amounts, as ISO 4217 writes it",
    "description": "what it is, in words",
    "due": "by when it is to be done",
    "emails": "e-mail addresses; the first is the main one",
    "entity": "the name of the entity, such as `account`",
    "error": "what went wrong, in words",
    "external_ref": "its key in another system, where it came from",
    "key": "what makes it one of a kind, so that nothing makes it twice",
    "kind": "which kind it is",
    "links": "the records it is about",
    "name": "what people call it",
    "net": "the amount without tax",
    "number": "its number, as people quote it",
    "opportunity": "the deal it belongs to",
    "order": "the order it belongs to",
    "owner": "who is responsible for it: the id of a user; empty where nobody is",
    "phones": "telephone numbers in E.164 form; the first is the main one",
    "position": "its place among its like; the lowest comes first",
    "price": "the price of one",
    "priority": "how urgent it is",
    "product": "what is sold",
    "quantity": "how many",
    "reason": "why, in words",
    "record": "the id of the record",
    "source": "where it came from",
    "state": "how far it is",
    "status": "where it stands",
    "subject": "what it is about, in a line",
    "tax": "the tax on the net amount",
    "ticket": "the ticket it belongs to",
    "title": "what it is called, in a line",
    "total": "the amount with tax",
    "valid_from": "the first day it holds",
    "valid_to": "the last day it holds; empty where it has no end",
    "what": "what it is, in words",
    "who": "who keeps it: the id of a user",
}
"""Names that mean the same wherever they stand; an entity whose field means more says so in its docstring."""


def meaning(owner: Any, field: str) -> str:
    """Say what a field of an entity or an extension means; nothing where its docstring speaks of it in a sentence."""
    own = section(owner.__doc__, "Attributes").get(field, "").removesuffix(".")
    return own or ("" if in_prose(owner, field) else USUAL.get(field, ""))


def in_prose(owner: Any, field: str) -> bool:
    """Say whether a docstring names a field as code, and so tells of it."""
    return re.search(rf"`(?:\w+\.)?{field}\b", inspect.cleandoc(owner.__doc__ or "")) is not None
