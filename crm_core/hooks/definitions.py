"""Definitions: everything that a plugin declares, as lists that a registry reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import LoadError

if TYPE_CHECKING:
    from ..entities.entity import Entity, Extension
    from ..messages import Catalogue
    from ..permissions.roles import Role
    from .actions import ActionDef
    from .marks import Deprecation
    from .measures import Dimension, Measure, Metric, Rollup, Source
    from .parts import Impl, Job, Lifespan, Link, Panel, Route, Subscription
    from .retention import Retention
    from .screens import Assets, Form, ListView
    from .spec import Hook


class Definitions:
    """Everything a plugin contributes, in the order it was declared; a registry reads it.

    Attributes:
        loaded: a CRM was made with them, and reads them no more.
    """

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self.loaded = False
        self.entities: list[type[Entity]] = []
        self.extensions: list[tuple[type[Entity], type[Extension]]] = []
        self.links: list[Link] = []
        self.events: list[type[Any]] = []
        self.hooks: list[Hook[Any, Any]] = []
        self.impls: list[Impl] = []
        self.subscriptions: list[Subscription] = []
        self.actions: list[ActionDef] = []
        self.jobs: list[Job] = []
        self.panels: list[Panel] = []
        self.figures: list[Measure | Source | Metric] = []
        self.dimensions: list[Dimension] = []
        self.rollups: list[Rollup] = []
        self.retentions: list[Retention] = []
        self.roles: list[Role] = []
        self.services: list[type[Any]] = []
        self.grants: list[str] = []
        self.catalogues: list[Catalogue] = []
        self.companions: list[tuple[str, str]] = []
        self.deprecations: list[Deprecation] = []
        self.experimental: list[Any] = []
        self.ports: list[type[Any]] = []
        self.lifespans: list[Lifespan] = []
        self.routes: list[Route] = []
        self.screens: list[Form | ListView] = []
        self.assets: list[Assets] = []

    @property
    def open(self) -> Definitions:
        """These, to add to.

        Raises:
            LoadError: ``plugin_in_use``: a CRM was made with them, and would not hear of what is declared now.
        """
        if self.loaded:
            raise LoadError("plugin_in_use", plugin=self._plugin)
        return self
