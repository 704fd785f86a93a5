"""The CRM you import: entities, events, permissions, storage and hooks inside your own process and transaction.

Names are loaded when first used, so that importing the package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asession import AsyncCRMSession as AsyncCRMSession
    from .automation.dry_run import DryRun as DryRun
    from .core_settings import CoreSettings as CoreSettings
    from .crm import CRM as CRM
    from .entities.activity import Channel as Channel
    from .entities.activity import Direction as Direction
    from .entities.activity import Interaction as Interaction
    from .entities.activity import Link as Link
    from .entities.activity import Note as Note
    from .entities.activity import Participant as Participant
    from .entities.activity import Tag as Tag
    from .entities.activity import Tagging as Tagging
    from .entities.automation import AutomationRule as AutomationRule
    from .entities.automation import AutomationRun as AutomationRun
    from .entities.automation import RuleTrigger as RuleTrigger
    from .entities.automation import RunOutcome as RunOutcome
    from .entities.columns import alias as alias
    from .entities.columns import days_between as days_between
    from .entities.custom_field import CustomField as CustomField
    from .entities.custom_kind import CustomKind as CustomKind
    from .entities.customer import Account as Account
    from .entities.customer import AccountKind as AccountKind
    from .entities.customer import Affiliation as Affiliation
    from .entities.customer import Contact as Contact
    from .entities.customer import ExchangeRate as ExchangeRate
    from .entities.entity import Entity as Entity
    from .entities.entity import Extension as Extension
    from .entities.fields import Field as Field
    from .entities.fields import ListField as ListField
    from .entities.fields import MoneyField as MoneyField
    from .entities.fields import OptionalMoneyField as OptionalMoneyField
    from .entities.fields import Ref as Ref
    from .entities.fields import field as field
    from .entities.formats import valid_currency as valid_currency
    from .entities.formats import valid_zone as valid_zone
    from .entities.imports import ImportRun as ImportRun
    from .entities.imports import ImportState as ImportState
    from .entities.money import Money as Money
    from .entities.values import Address as Address
    from .entities.values import Email as Email
    from .entities.values import Phone as Phone
    from .errors import CommitOutcomeUnknown as CommitOutcomeUnknown
    from .errors import Conflict as Conflict
    from .errors import CRMError as CRMError
    from .errors import Denied as Denied
    from .errors import Invalid as Invalid
    from .errors import LoadError as LoadError
    from .errors import MissingExtra as MissingExtra
    from .errors import MixedCurrency as MixedCurrency
    from .errors import NeedsAwait as NeedsAwait
    from .errors import NotFound as NotFound
    from .errors import NotReadable as NotReadable
    from .errors import PluginFailed as PluginFailed
    from .errors import ReadOnly as ReadOnly
    from .errors import Refused as Refused
    from .errors import SchemaBehind as SchemaBehind
    from .errors import TenantSuspended as TenantSuspended
    from .errors import Unavailable as Unavailable
    from .errors import Unreadable as Unreadable
    from .events.event import Created as Created
    from .events.event import Deleted as Deleted
    from .events.event import Event as Event
    from .events.event import Restored as Restored
    from .events.event import Updated as Updated
    from .history import History as History
    from .hooks.core_specs import Change as Change
    from .hooks.core_specs import WriteCtx as WriteCtx
    from .hooks.core_specs import after_write as after_write
    from .hooks.core_specs import before_write as before_write
    from .hooks.core_specs import check_write as check_write
    from .hooks.marks import CRMDeprecationWarning as CRMDeprecationWarning
    from .hooks.measures import Dimension as Dimension
    from .hooks.measures import Fact as Fact
    from .hooks.measures import Measure as Measure
    from .hooks.measures import Metric as Metric
    from .hooks.measures import Rollup as Rollup
    from .hooks.measures import Source as Source
    from .hooks.measures import ratio as ratio
    from .hooks.plugin import Plugin as Plugin
    from .hooks.screens import Form as Form
    from .hooks.screens import ListView as ListView
    from .hooks.spec import CollectHook as CollectHook
    from .hooks.spec import Ctx as Ctx
    from .hooks.spec import FilterHook as FilterHook
    from .hooks.spec import FirstHook as FirstHook
    from .hooks.spec import VetoHook as VetoHook
    from .inbound import Request as Request
    from .inbound import Response as Response
    from .inbound import signed as signed
    from .jobs.state import JobCancelled as JobCancelled
    from .jobs.state import JobRun as JobRun
    from .jobs.state import JobStatus as JobStatus
    from .lifespan import Running as Running
    from .paging import Page as Page
    from .past import Past as Past
    from .permissions.actor import Actor as Actor
    from .permissions.directory import Directory as Directory
    from .permissions.directory import User as User
    from .permissions.predicates import custom as custom
    from .permissions.predicates import owner as owner
    from .permissions.predicates import subordinates as subordinates
    from .permissions.predicates import team as team
    from .permissions.roles import Role as Role
    from .query import Query as Query
    from .runtime import FixedClock as FixedClock
    from .runtime import Runtime as Runtime
    from .secrets import Secret as Secret
    from .session import Session as Session
    from .spreadsheet import spreadsheet_safe as spreadsheet_safe
    from .storage.changeset import BulkResult as BulkResult
    from .storage.keys.local import EnvironmentKeys as EnvironmentKeys
    from .storage.keys.local import FileKeys as FileKeys
    from .storage.keys.provider import KeyProvider as KeyProvider
    from .storage.rollups import Cell as Cell
    from .tenants import Tenant as Tenant
    from .timeline import Timeline as Timeline
    from .view360 import PanelView as PanelView
    from .view360 import View360 as View360

__version__ = "0.1.0"

_HOMES = {
    "asession": ("AsyncCRMSession",),
    "automation.dry_run": ("DryRun",),
    "core_settings": ("CoreSettings",),
    "crm": ("CRM",),
    "entities.activity": ("Channel", "Direction", "Interaction", "Link", "Note", "Participant", "Tag", "Tagging"),
    "entities.automation": ("AutomationRule", "AutomationRun", "RuleTrigger", "RunOutcome"),
    "entities.columns": ("alias", "days_between"),
    "entities.custom_kind": ("CustomKind",),
    "entities.custom_field": ("CustomField",),
    "entities.customer": ("Account", "AccountKind", "Affiliation", "Contact", "ExchangeRate"),
    "entities.entity": ("Entity", "Extension"),
    "entities.fields": ("Field", "ListField", "MoneyField", "OptionalMoneyField", "Ref", "field"),
    "entities.formats": ("valid_currency", "valid_zone"),
    "entities.imports": ("ImportRun", "ImportState"),
    "entities.money": ("Money",),
    "entities.values": ("Address", "Email", "Phone"),
    "errors": (
        "CRMError", "CommitOutcomeUnknown", "Conflict", "Denied", "Invalid", "LoadError", "MissingExtra", "MixedCurrency", "NeedsAwait",
        "NotFound", "NotReadable", "PluginFailed", "ReadOnly", "Refused", "SchemaBehind", "TenantSuspended", "Unavailable",
        "Unreadable",
    ),
    "events.event": ("Created", "Deleted", "Event", "Restored", "Updated"),
    "hooks.core_specs": ("Change", "WriteCtx", "after_write", "before_write", "check_write"),
    "hooks.marks": ("CRMDeprecationWarning",),
    "hooks.measures": ("Dimension", "Fact", "Measure", "Metric", "Rollup", "Source", "ratio"),
    "hooks.plugin": ("Plugin",),
    "hooks.screens": ("Form", "ListView"),
    "hooks.spec": ("CollectHook", "Ctx", "FilterHook", "FirstHook", "VetoHook"),
    "inbound": ("Request", "Response", "signed"),
    "lifespan": ("Running",),
    "jobs.state": ("JobCancelled", "JobRun", "JobStatus"),
    "paging": ("Page",),
    "past": ("Past",),
    "permissions.actor": ("Actor",),
    "permissions.directory": ("Directory", "User"),
    "permissions.predicates": ("custom", "owner", "subordinates", "team"),
    "permissions.roles": ("Role",),
    "query": ("Query",),
    "runtime": ("FixedClock", "Runtime"),
    "secrets": ("Secret",),
    "session": ("Session",),
    "spreadsheet": ("spreadsheet_safe",),
    "storage.changeset": ("BulkResult",),
    "storage.keys.local": ("EnvironmentKeys", "FileKeys"),
    "storage.keys.provider": ("KeyProvider",),
    "storage.rollups": ("Cell",),
    "tenants": ("Tenant",),
    "timeline": ("Timeline",),
    "history": ("History",),
    "view360": ("PanelView", "View360"),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # a snapshot test holds the list


if not TYPE_CHECKING:  # a type checker would take it for the permission to import any name

    def __getattr__(name: str) -> Any:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
