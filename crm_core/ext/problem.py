"""Problems: what an error looks like over HTTP (RFC 9457), and in which language."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from ..errors import CRMError
from .resource import Answer

if TYPE_CHECKING:
    from ..messages import Messages
    from ..permissions.actor import Actor

TYPE: Final = "application/problem+json"
_TAG = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?\Z")
_log = logging.getLogger(__name__)


def problem(error: CRMError, messages: Messages, actor: Actor | None, accepted: str) -> Answer:
    """Answer an error; one that is the program's own fault is logged with its traceback.

    Args:
        actor: who asked, where that is known: their language is the answer's.
        accepted: the request's ``Accept-Language``, which counts where nobody is known.
    """
    if error.status >= 500:
        _log.error("%s", error.code, exc_info=error)
    if error.code == "not_found":  # what a program should call is not for who asked over HTTP
        error = type(error)(error.code, details=error.details, **{n: v for n, v in error.params.items() if n != "call"})
    locale = actor.locale if actor is not None else language(accepted, messages)
    return Answer(error.status, error.problem(locale, messages), {"Content-Type": TYPE, "Content-Language": locale.replace("_", "-")})


def language(accepted: str, messages: Messages) -> str:
    """Return the language of ``Accept-Language`` that is liked best of those that there are words in; else English."""
    wanted = [(float(found[2] or 1), found[1]) for part in accepted[:500].split(",") if (found := _TAG.match(part))]
    for quality, tag in sorted(wanted, key=lambda each: -each[0]):
        if quality and messages.speaks(tag):
            return tag.replace("-", "_")
    return "en"
