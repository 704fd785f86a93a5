"""``crm erp``: the runs of a bridge from the command line, and its dead letters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import click

from crm_core import CRM, Actor, CRMError, Invalid, Session

from .ledger import Outbound, Parked
from .letters import letter_of
from .plugin import plugin
from .report import StreamReport
from .service import ErpBridge
from .sync import Sync, bridge_of


class Shell(Protocol):
    """What the command ``crm`` hands on: which CRM, and the language."""

    lang: str

    def open(self) -> CRM:
        """Open the host's CRM."""


@click.group()
def erp() -> None:
    """Work on a bridge to an ERP: crm --app shop:crm erp plan NAME."""


_bridge = click.argument("bridge")
_tenant = click.option("--tenant", help="Whose; that of the bridge's first scope where none is given.")


@erp.command("pull", help="Take in what changed in the ERP.")
@_bridge
@_tenant
@click.pass_obj
def pull(shell: Shell, bridge: str, tenant: str | None) -> None:
    """Pull."""
    with Sync(shell.open(), bridge, tenant=tenant) as sync:
        _told(shell, sync, sync.pull)


@erp.command("push", help="Write to the ERP what is queued.")
@_bridge
@_tenant
@click.pass_obj
def push(shell: Shell, bridge: str, tenant: str | None) -> None:
    """Push."""
    with Sync(shell.open(), bridge, tenant=tenant) as sync:
        _told(shell, sync, sync.push)


@erp.command("plan", help="Say what a pull and a push would do, and do nothing.")
@_bridge
@_tenant
@click.pass_obj
def plan(shell: Shell, bridge: str, tenant: str | None) -> None:
    """Plan."""
    with Sync(shell.open(), bridge, tenant=tenant) as sync:
        found = sync.plan()
    _counts(shell, found.counts)
    for difference in found.differences:
        fields = ", ".join(f"{n}: {_short(ours)} -> {_short(theirs)}" for n, (ours, theirs) in difference.fields.items())
        click.echo(f"  {difference.stream} {difference.remote_id} {difference.kind}  {fields or _error(shell, difference.error)}")


@erp.command("reconcile", help="Compare both sides in full; the exit code is 1 where something is left to explain.")
@_bridge
@_tenant
@click.pass_obj
def reconcile(shell: Shell, bridge: str, tenant: str | None) -> None:
    """Reconcile."""
    with Sync(shell.open(), bridge, tenant=tenant) as sync:
        found = sync.reconcile()
    for stream in found.streams:
        _report(shell, stream)
    raise SystemExit(found.exit_code)


def _report(shell: Shell, stream: StreamReport) -> None:
    code = "erp_bridge.cli_clean" if stream.clean else "erp_bridge.cli_not_clean"
    click.echo(_text(shell, code, stream=stream.stream, there=stream.there, here=stream.here))
    if stream.dead or stream.queued:
        click.echo("  " + _text(shell, "erp_bridge.cli_waiting", dead=stream.dead, queued=stream.queued))
    for name, (there, here) in stream.sums.items():
        difference = None if there == here else there - here
        click.echo("  " + _text(shell, "erp_bridge.cli_sum", name=name, there=there, here=here, difference=difference))
    missing = (
        ("erp_bridge.cli_only_there", stream.missing_here, stream.only_there),
        ("erp_bridge.cli_only_here", stream.missing_there, stream.only_here),
    )
    for code, count, ids in missing:
        if count:
            click.echo("  " + _text(shell, code, count=count, ids=ids))
    for id, fields in stream.sample:
        pairs = [_text(shell, "erp_bridge.cli_pair", field=n, ours=_short(o), theirs=_short(t)) for n, (o, t) in fields.items()]
        click.echo(f"  {id}  " + ", ".join(pairs))


@erp.command("dead", help="List dead letters: id, stream, record (the ERP's id, or ours where it has none), state, what is wrong.")
@_bridge
@_tenant
@click.pass_obj
def dead(shell: Shell, bridge: str, tenant: str | None) -> None:
    """List them."""
    with _session(shell, bridge, tenant) as session:
        for letter in session.use(ErpBridge).dead_letters(bridge, limit=1000):
            kind = "outbound" if isinstance(letter, Outbound) else "parked"
            state = _text(shell, f"erp_bridge.{kind}.state.{letter.state.value}")
            record = letter.remote_id or letter.local_id if isinstance(letter, Outbound) else letter.remote["id"]
            click.echo(f"{letter.id}  {letter.stream}  {record}  {state}  {_error(shell, letter.error)}")


@erp.command("replay", help="Try a dead letter once more; of a conflict, take the ERP's values.")
@_bridge
@click.argument("letter")
@_tenant
@click.pass_obj
def replay(shell: Shell, bridge: str, letter: str, tenant: str | None) -> None:
    """Replay one."""
    with Sync(shell.open(), bridge, tenant=tenant) as sync:
        sync.replay(letter)


@erp.command("bind", help="Decide which of our records (its id) a parked record of the ERP is.")
@_bridge
@click.argument("letter")
@click.argument("record")
@_tenant
@click.pass_obj
def bind(shell: Shell, bridge: str, letter: str, record: str, tenant: str | None) -> None:
    """Bind one."""
    with _session(shell, bridge, tenant) as session:
        found = letter_of(session, bridge, letter)
        if not isinstance(found, Parked):
            raise Invalid("erp_bridge.unknown_letter", given=letter[:60])
        session.use(ErpBridge).bind(found, record=record)


@erp.command("discard", help="Give a dead letter up; of a conflict, keep our values.")
@_bridge
@click.argument("letter")
@click.option("--reason", required=True, help="Why.")
@_tenant
@click.pass_obj
def discard(shell: Shell, bridge: str, letter: str, reason: str, tenant: str | None) -> None:
    """Discard one."""
    with _session(shell, bridge, tenant) as session:
        session.use(ErpBridge).discard(letter_of(session, bridge, letter), reason=reason)


@contextmanager
def _session(shell: Shell, bridge: str, tenant: str | None) -> Iterator[Session]:
    crm = shell.open()
    _, owner = bridge_of(crm, bridge, tenant)
    with crm.session(Actor.service(plugin.name, tenant=owner)) as session:
        yield session


def _told(shell: Shell, sync: Sync, run: Callable[[], Mapping[str, int]]) -> None:
    """Run, and tell what was done, also where the run stopped half-way."""
    try:
        counts = run()
    except CRMError:
        if sync.counts:
            _counts(shell, sync.counts)
        raise
    _counts(shell, counts)


def _counts(shell: Shell, counts: Mapping[str, int]) -> None:
    click.echo("\n".join(f"{name}  {n}" for name, n in sorted(counts.items())) or _text(shell, "erp_bridge.cli_nothing"))


def _text(shell: Shell, code: str, **params: Any) -> str:
    return shell.open().messages.text(code, params, shell.lang)


def _error(shell: Shell, error: Mapping[str, Any]) -> str:
    params = error.get("params", {})
    text = shell.open().messages.text(str(error.get("code", "")), params, shell.lang)
    field = str(params.get("field", ""))
    if field not in text:  # words of a value do not tell whose it is
        text = f"{field}: {text}"
    return text + "".join(f" {f['field']}: {f['code']}" for f in error.get("fields", ()))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
