"""``crm erp``: the runs of a bridge from the command line, and its dead letters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import attrs
import click

from crm_core import CRM, Actor, CRMError, Invalid, Session

from .ledger import PARKED, Outbound, Parked
from .letters import letter_of
from .plugin import plugin
from .report import StreamReport
from .service import ErpBridge
from .settings import Settings
from .status import BridgeStatus
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
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_tenant = click.option("--tenant", help="Whose; that of the bridge's first scope where none is given.")


@erp.command("status", help="Say how bridges are: last runs, dead letters, queued writes, lease; the exit code is 1 where one is not well.")
@click.argument("bridge", required=False)
@_tenant
@_json
@click.pass_obj
def status(shell: Shell, bridge: str | None, tenant: str | None, as_json: bool) -> None:
    """Look at one bridge or all, of one tenant or of each that they work for."""
    found = list(_statuses(shell, bridge, tenant))
    if as_json:
        click.echo(_plain([{"tenant": owner, **each.to_json()} for owner, each in found]))
    else:
        for owner, each in found:
            _show(shell, owner, each)
    raise SystemExit(0 if all(each.well for _, each in found) else 1)


def _statuses(shell: Shell, bridge: str | None, tenant: str | None) -> Iterator[tuple[str, BridgeStatus]]:
    crm = shell.open()
    with crm.session(Actor.service(plugin.name, tenant=tenant or "main"), write=False) as session:
        names = [bridge] if bridge else [b.name for b in session.settings(Settings).bridges]
    for name in names:
        for owner in [tenant] if tenant else dict.fromkeys(bridge_of(crm, name, None)[0].scopes.values()):
            with crm.session(Actor.service(plugin.name, tenant=owner), write=False) as session:
                yield owner, session.use(ErpBridge).status(name)


def _show(shell: Shell, tenant: str, found: BridgeStatus) -> None:
    click.echo(f"{found.bridge}  {tenant}")
    for kind, run in found.runs.items():
        code = "erp_bridge.cli_run_ok" if run.ok else "erp_bridge.cli_run_failed"
        what = _text(shell, f"erp_bridge.run.kind.{kind.value}")
        why = _text(shell, run.error) if run.error else None
        click.echo("  " + _text(shell, code, kind=what, at=_at(run.ended_at), error=why))
    if not found.runs:
        click.echo("  " + _text(shell, "erp_bridge.cli_never_ran"))
    click.echo("  " + _text(shell, "erp_bridge.cli_waiting", dead=found.dead, queued=found.queued))
    if found.oldest:
        click.echo("  " + _text(shell, "erp_bridge.cli_oldest", at=_at(found.oldest)))
    if found.leased_until:
        click.echo("  " + _text(shell, "erp_bridge.busy", bridge=found.bridge, until=_at(found.leased_until)))


def _at(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


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
@_json
@click.pass_obj
def reconcile(shell: Shell, bridge: str, tenant: str | None, as_json: bool) -> None:
    """Reconcile."""
    with Sync(shell.open(), bridge, tenant=tenant) as sync:
        found = sync.reconcile()
    if as_json:
        click.echo(_plain({"clean": found.clean, "streams": [{**attrs.asdict(s), "clean": s.clean} for s in found.streams]}))
    for stream in [] if as_json else found.streams:
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
@_json
@click.pass_obj
def dead(shell: Shell, bridge: str, tenant: str | None, as_json: bool) -> None:
    """List them."""
    with _session(shell, bridge, tenant) as session:
        letters = session.use(ErpBridge).dead_letters(bridge, limit=1000)
    streams = bridge_of(shell.open(), bridge, tenant)[0].mapping.streams
    paths = {name: {field.field: field.erp for field in stream.fields.values()} for name, stream in streams.items()}
    if as_json:
        click.echo(_plain([_letter_json(shell, letter, paths.get(letter.stream, {})) for letter in letters]))
    for letter in [] if as_json else letters:
        kind = "outbound" if isinstance(letter, Outbound) else "parked"
        state = _text(shell, f"erp_bridge.{kind}.state.{letter.state.value}")
        click.echo(f"{letter.id}  {letter.stream}  {_record(letter)}  {state}  {_error(shell, letter.error, paths.get(letter.stream))}")


def _record(letter: Outbound | Parked) -> str:
    return str(letter.remote_id or letter.local_id if isinstance(letter, Outbound) else letter.remote["id"])


def _letter_json(shell: Shell, letter: Outbound | Parked, paths: Mapping[str, str]) -> dict[str, Any]:
    facts = {"id": letter.id, "stream": letter.stream, "record": _record(letter), "state": letter.state.value}
    way = "out" if isinstance(letter, Outbound) else "in"
    return {**facts, "direction": way, "since": letter.created_at, "error": letter.error, "says": _error(shell, letter.error, paths)}


@erp.command("replay", help="Try a dead letter once more; of a conflict, take the ERP's values.")
@_bridge
@click.argument("letter")
@_tenant
@click.pass_obj
def replay(shell: Shell, bridge: str, letter: str, tenant: str | None) -> None:
    """Replay one."""
    with Sync(shell.open(), bridge, tenant=tenant) as sync:
        found = sync.replay(letter)
    _became(shell, found)


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
        bound = session.use(ErpBridge).bind(found, record=record)
    _became(shell, bound)


@erp.command("discard", help="Give a dead letter up; of a conflict, keep our values.")
@_bridge
@click.argument("letter")
@click.option("--reason", required=True, help="Why.")
@_tenant
@click.pass_obj
def discard(shell: Shell, bridge: str, letter: str, reason: str, tenant: str | None) -> None:
    """Discard one."""
    with _session(shell, bridge, tenant) as session:
        found = session.use(ErpBridge).discard(letter_of(session, bridge, letter), reason=reason)
    _became(shell, found)


def _became(shell: Shell, letter: Outbound | Parked) -> None:
    """Say what a letter is now; of one that is a dead letter still, why."""
    kind = "outbound" if isinstance(letter, Outbound) else "parked"
    state = _text(shell, f"erp_bridge.{kind}.state.{letter.state.value}")
    left = isinstance(letter, Parked) and letter.state in PARKED
    click.echo(f"{letter.id}  {state}" + (f"  {_error(shell, letter.error)}" if left else ""))


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


def _error(shell: Shell, error: Mapping[str, Any], paths: Mapping[str, str] | None = None) -> str:
    """Say what is wrong, each field by our name and, where it is known, by its path in the ERP."""
    paths = paths or {}
    code, params, fields = str(error.get("code", "")), error.get("params", {}), list(error.get("fields", ()))
    said = [] if fields and all(f["code"] == code for f in fields) else [(str(params.get("field", "")), code, params)]
    said += [(f["field"], f["code"], f.get("params", {})) for f in fields]
    return " ".join(dict.fromkeys(_worded(shell, name, _text(shell, c, **p), paths) for name, c, p in said))


def _worded(shell: Shell, field: str, text: str, paths: Mapping[str, str]) -> str:
    """Put a field's names before words that do not tell whose they are."""
    path = paths.get(field, "")
    if field in text and path in text:
        return text
    both = _text(shell, "erp_bridge.cli_field", field=field, path=path) if path and path != field else field
    return f"{both}: {text}"


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=lambda v: _at(v) if isinstance(v, datetime) else str(v))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
