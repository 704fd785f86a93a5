"""Definitions: everything that a plugin declares, as lists that a registry reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ..messages import Catalogue
from .actions import ActionDef
from .marks import Deprecation
from .measures import Dimension, Measure, Metric, Rollup, Source
from .parts import Impl, Job, Lifespan, Link, Panel, Route, Subscription
from .retention import Retention
from .screens import Assets, Form, ListView
from .spec import Hook

if TYPE_CHECKING:
    from ..entities.entity import Entity, Extension
    from ..permissions.roles import Role


@attrs.define
class Definitions:
    """Everything a plugin contributes, in the order it was declared; a registry reads it."""

    entities: list[type[Entity]] = attrs.Factory(list)
    extensions: list[tuple[type[Entity], type[Extension]]] = attrs.Factory(list)
    links: list[Link] = attrs.Factory(list)
    events: list[type[Any]] = attrs.Factory(list)
    hooks: list[Hook[Any, Any]] = attrs.Factory(list)
    impls: list[Impl] = attrs.Factory(list)
    subscriptions: list[Subscription] = attrs.Factory(list)
    actions: list[ActionDef] = attrs.Factory(list)
    jobs: list[Job] = attrs.Factory(list)
    panels: list[Panel] = attrs.Factory(list)
    figures: list[Measure | Source | Metric] = attrs.Factory(list)
    dimensions: list[Dimension] = attrs.Factory(list)
    rollups: list[Rollup] = attrs.Factory(list)
    retentions: list[Retention] = attrs.Factory(list)
    roles: list[Role] = attrs.Factory(list)
    services: list[type[Any]] = attrs.Factory(list)
    grants: list[str] = attrs.Factory(list)
    catalogues: list[Catalogue] = attrs.Factory(list)
    companions: list[tuple[str, str]] = attrs.Factory(list)
    deprecations: list[Deprecation] = attrs.Factory(list)
    experimental: list[Any] = attrs.Factory(list)
    ports: list[type[Any]] = attrs.Factory(list)
    lifespans: list[Lifespan] = attrs.Factory(list)
    routes: list[Route] = attrs.Factory(list)
    screens: list[Form | ListView] = attrs.Factory(list)
    assets: list[Assets] = attrs.Factory(list)
