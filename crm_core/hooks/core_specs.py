"""The core as a plugin: the customer records every module needs, and the hooks of the write pipeline."""

from __future__ import annotations

from typing import Any, Literal, cast

from ..catalogues.labels import LABELS
from ..classes import define
from ..core_settings import CoreSettings
from ..entities.activity import Interaction, Note, Tag, Tagging
from ..entities.automation import AutomationRule, AutomationRun
from ..entities.custom_field import CustomField
from ..entities.customer import Account, Affiliation, Contact, ExchangeRate
from ..entities.entity import Entity
from ..entities.imports import ImportRun, ImportState
from ..permissions.predicates import F
from .core_panels import contacts, tags
from .plugin import Plugin
from .spec import CollectHook, Ctx, FilterHook, VetoHook


@define(eq=False)
class Change:
    """One record on its way into the database: ``record``, what it was (``old``), and the names of the ``fields`` that change.

    Attributes:
        record: its new state; ``before_write`` may change its fields.
        old: its state before, or None for a create.
        fields: the names of the fields that change; all that are set, for a create.
    """

    record: Entity
    old: Entity | None
    fields: frozenset[str]


@define(eq=False)
class WriteCtx(Ctx):
    """A write of one entity; its ``op`` is ``create``, ``update``, ``delete`` or ``restore``.

    Attributes:
        entity: whose records.
        op: what is done with them.
    """

    entity: type[Entity]
    op: Literal["create", "update", "delete", "restore"]


before_write: FilterHook[WriteCtx, list[Change]] = FilterHook("before_write", by_entity=True)
"""Complete or correct records before they are written; what is changed here is validated and permission-checked again."""

check_write: VetoHook[WriteCtx, list[Change]] = VetoHook("check_write", by_entity=True)
"""Refuse changes, after every filter has run. Refuse the change or its record."""

after_write: CollectHook[WriteCtx, list[Change], Any] = CollectHook("after_write", by_entity=True)
"""Act on what was written, in the same transaction, after rows and journal; answers are ignored."""

CORE = Plugin("core", version="0.1.0", label="Core", package="crm_core.storage", settings=CoreSettings)
CORE.entities(Account, Contact, Affiliation, ExchangeRate, Interaction, Note, Tag, Tagging, AutomationRule, AutomationRun, ImportRun)
CORE.entities(CustomField)
CORE.hooks(before_write, check_write, after_write)
CORE.retention(
    "imports", ImportRun, keep="1 year", since="updated_at", action="empty", where=F("state") != ImportState.RUNNING, suggested=True
)
CORE.retention("rule_runs", AutomationRun, keep="90 days", since="at", action="empty", suggested=True)
CORE.grants("automation_rule:read", "automation_run:read,create")


@CORE.hook(before_write, on=AutomationRule)
def check_rules(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Refuse rules that do not fit, and note whose rights the others have."""
    if ctx.op != "delete":
        ctx.session.crm.automation.check(ctx.session, changes)
    return changes


@CORE.hook(before_write, on=CustomField)
def check_custom_fields(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Refuse definitions that do not fit."""
    ctx.session.crm.custom_fields.check(ctx.session, ctx.op, changes)
    return changes


@CORE.hook(after_write, on=CustomField)
def custom_fields_changed(ctx: WriteCtx, changes: list[Change]) -> None:
    """Let the transaction, and later the others, see the custom fields as they are now."""
    ctx.session.crm.custom_fields.changed(ctx.session, changes)


@CORE.hook(check_write, on=Affiliation)
def check_affiliations(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse what ends before it begins."""
    for change in changes:
        dated = cast(Affiliation, change.record)
        if ctx.op != "delete" and dated.valid_from and dated.valid_to and dated.valid_to < dated.valid_from:
            ctx.refuse(change, "ends_before_it_begins", field="valid_to")


CORE.panel(Account, label="core.panel.contacts", reads=[Contact])(contacts)
CORE.panel(Account, label="core.panel.tags", reads=[Tagging])(tags)
CORE.panel(Contact, label="core.panel.tags", reads=[Tagging])(tags)
CORE.catalogue("en", {code: english for code, (english, _) in LABELS.items()})
CORE.catalogue("zh", {code: chinese for code, (_, chinese) in LABELS.items()})
