"""What all commands share: which CRM they work on, and the language they speak."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from copy import copy
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CRMError, Invalid, Unavailable
from ..messages import Messages
from ..safe_mode import wanted

if TYPE_CHECKING:
    from ..crm import CRM
    from ..hooks.meter import Cost

DEFAULT_DB = "crm.db"
_TELL_OF_SQLITE = ("doctor", "migrate", "worker")


class Shell:
    """The options that ``crm`` and its subcommands have in common; what a subcommand is given wins."""

    def __init__(self) -> None:
        self.db = ""
        self.app = ""
        self.lang = "en"
        self.slow = False
        self.plugin = ""
        self._crm: CRM | None = None
        self._others: list[CRM] = []
        self._checked = False
        self._measuring = ExitStack()

    @property
    def messages(self) -> Messages:
        """The catalogues of the CRM that is open, or the core's."""
        return self._crm.messages if self._crm else Messages()

    def text(self, code: str, **params: Any) -> str:
        """Say a message in the language asked for."""
        return self.messages.text(code, params, self.lang)

    def said(self, error: CRMError) -> str:
        """Say an error and its details, one a line."""
        lines = [self.text(error.code, **error.params)]
        for d in error.details:
            params = {"entity": d.entity, "field": d.field, "value": d.value, **d.params}
            lines.append(f"  {d.field}: {self.messages.text(d.code, params, self.lang)}")
        return "\n".join(lines)

    def open(self) -> CRM:
        """Open the host's CRM (``--app``), or one of all installed plugins on a database of our own (``--db``).

        The schema of a database that has none is made; a host's own is the host's to migrate.

        Raises:
            Invalid: ``cli_bad_app``.
            SchemaBehind: the database's schema does not fit the code.
        """
        crm = self.unchecked()
        if not self._checked:
            if not self.app and not crm.migrations.current():
                crm.migrate()
            crm.migrations.check()
            self._checked = True
        return crm

    def existing(self) -> CRM:
        """Open the CRM as :meth:`open` does, and make no database of a name that was mistyped.

        Raises:
            Invalid: ``cli_no_database``.
        """
        self.looked_at()
        return self.open()

    def looked_at(self) -> CRM:
        """Open the CRM whatever its schema, and make no database of a name that was mistyped.

        Raises:
            Invalid: ``cli_no_database``.
        """
        file = (self.db or DEFAULT_DB).removeprefix("sqlite:///")
        if not self.app and "://" not in file and not Path(file).exists():
            raise Invalid("cli_no_database", path=file[:200])
        return self.unchecked()

    def declared(self) -> CRM:
        """Open the CRM for what its plugins' code says, which needs no database; one that was named is there all the same.

        Raises:
            Invalid: ``cli_no_database``.
        """
        if not self.app:
            self.db = self.db or "sqlite://"
        return self.looked_at()

    def at(self, url: str) -> CRM:
        """Open a CRM with the same plugins on another database, whatever is there."""
        from ..backup.likeness import like

        self._others.append(like(self.unchecked(), url if "://" in url else f"sqlite:///{url}"))
        return self._others[-1]

    def close(self) -> None:
        """Close the databases that are our own, and say what the plugins' functions cost if that was asked."""
        self._measuring.close()
        for other in self._others:
            other.close()
        if self._crm is not None and not self.app:
            self._crm.close()

    def unchecked(self) -> CRM:
        """Open the CRM whatever its schema.

        Raises:
            Unavailable: ``plugin_disabled``: the command is one of a plugin that is off in this database.
        """
        if self._crm is None:
            self._hush()
            self._crm = _app(self.app) if self.app else self._own()
            if self.slow:
                meter = self._measuring.enter_context(self._crm.measured())
                self._measuring.callback(lambda: _print(meter.report()))
            self._refuse_disabled(self._crm)
        return self._crm

    def _refuse_disabled(self, crm: CRM) -> None:
        if self.plugin:
            crm.quarantine.look()
            if self.plugin in crm.registry.health.disabled:
                raise Unavailable("plugin_disabled", plugin=self.plugin)

    def _hush(self) -> None:
        """Leave what is said of an old SQLite to the commands that work on the database as a whole."""
        asked = click.get_current_context(silent=True)
        if asked is None or asked.info_name not in _TELL_OF_SQLITE:
            storage = logging.getLogger("crm_core.storage")
            storage.addFilter(_not_of_sqlite)
            self._measuring.callback(storage.removeFilter, _not_of_sqlite)

    def _own(self) -> CRM:
        from ..crm import CRM
        from ..hooks.ports import Unreached
        from ..hooks.registry import discover

        names = [] if wanted() else sorted({point.name for point in entry_points(group="crm.plugins")})
        url = self.db or DEFAULT_DB
        return CRM(url if "://" in url else f"sqlite:///{url}", plugins=discover(names), ports=Unreached())


def found_at(path: str, what: str = "crm") -> Any:
    """Return what ``module:name`` names; without a name, what is called *what* there.

    Raises:
        Invalid: ``cli_bad_app``.
    """
    module, _, name = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = import_module(module)
        for part in (name or what).split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as e:
        raise Invalid("cli_bad_app", given=path[:100], reason=str(e)[:200]) from e
    return found


def _app(path: str) -> CRM:
    from ..crm import CRM

    found = found_at(path)
    if not isinstance(found, CRM) and _makes(found):
        found = found()
    if not isinstance(found, CRM):
        raise Invalid("cli_bad_app", given=path[:100], reason=type(found).__name__)
    return found


def _not_of_sqlite(record: logging.LogRecord) -> bool:
    return getattr(record, "crm_event", "") != "sqlite_affected"


def _print(costs: list[Cost]) -> None:
    from .table import echo_table

    numbers = ("calls", "errors", "total ms", "mean ms", "longest ms")
    rows = []
    for cost in costs:
        times = (cost.seconds, cost.seconds / cost.calls, cost.longest)
        rows.append([cost.name, cost.task, str(cost.calls), str(cost.errors), *(f"{1_000 * each:.3f}" for each in times)])
    if rows:
        echo_table(("function", "for", *numbers), rows, right=numbers)


def _makes(found: Any) -> bool:
    """Say whether *found* is a function that can be called with nothing."""
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


_DB = click.option("--db", metavar="URL", envvar="CRM_DB", help=f"Database URL or SQLite file [default: {DEFAULT_DB}].")
_APP = click.option("--app", metavar="MODULE:NAME", envvar="CRM_APP", help="Your application's CRM, like shop.main:crm.")
_LANG = click.option("--lang", metavar="LANG", envvar="CRM_LANG", help="Language of messages: en or zh.")


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--db``, ``--app`` and ``--lang``, and the shell as its first argument."""

    @_DB
    @_APP
    @_LANG
    @click.pass_context
    @functools.wraps(command)
    def wrapped(ctx: click.Context, /, db: str | None, app: str | None, lang: str | None, **options: Any) -> Any:
        shell = ctx.ensure_object(Shell)
        shell.db, shell.app, shell.lang = db or shell.db, app or shell.app, lang or shell.lang
        ctx.call_on_close(shell.close)
        return command(shell, **options)

    return wrapped


def reaching(command: click.Command) -> click.Command:
    """Return a plugin's command, and those below it, with the options ``--db``, ``--app`` and ``--lang`` that they do not have."""
    made = copy(command)
    if isinstance(made, click.Group):
        made.commands = {name: reaching(below) for name, below in made.commands.items()}
        return made
    known = {option for param in command.params for option in param.opts}

    @_DB
    @_APP
    @_LANG
    def ours() -> None:
        """Carry the options."""

    options = [o for o in click.command()(ours).params if not known & {*o.opts}]
    for option in options:
        # What stands before the command's name, or in the environment, is taken there.
        option.envvar, option.expose_value, option.callback = None, False, _reach
    made.params = [*command.params, *options]
    return made


def _reach(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None and option.name is not None:
        setattr(ctx.ensure_object(Shell), option.name, value)
