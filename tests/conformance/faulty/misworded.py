"""Words under an id that nothing has, beside one that has none."""

from __future__ import annotations

from crm_core import Entity, Field, Plugin
from tests.conformance.faulty.words import codes_of

BREAKS = "CK17"
REASON = "(is acme.misworded.workvisit.title meant, which has words and stands for nothing?)"

plugin = Plugin("acme.misworded", version="1.0.0")


class WorkVisit(Entity):
    """A visit."""

    title: Field[str]


plugin.entities(WorkVisit)
ids = [code.replace("work_visit.title", "workvisit.title") for code in codes_of(plugin)]
plugin.catalogue("en", dict.fromkeys(ids, "A word"))
plugin.catalogue("zh", dict.fromkeys(ids, "词"))
