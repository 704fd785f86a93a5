"""Which promise holds for which ticket: policies are matched when a ticket comes or changes, until it is solved [C40]."""

from __future__ import annotations

from crm_core import Change, Invalid, WriteCtx, before_write, check_write
from crm_core.rules import check, from_json, matches

from .plugin import plugin
from .policies import SlaPolicy, read_targets
from .states import DONE
from .tickets import Ticket, is_history

_UNRELATED = frozenset({"status", "solved_at", "sla"})


@plugin.hook(check_write, on=SlaPolicy)
def check_policy(ctx: WriteCtx, changes: list[Change]) -> None:
    """Refuse a policy whose targets or rule cannot be read."""
    for change in changes:
        policy = change.record
        assert isinstance(policy, SlaPolicy)
        try:
            read_targets(policy)
            check(from_json(policy.match), Ticket, ctx.session, stored=True)
        except Invalid as e:
            ctx.refuse(policy, e.code if e.code.startswith("service.") else "service.bad_match", **{"reason": e.message(), **e.params})


@plugin.hook(before_write, on=Ticket, after="service.date_solution")
def match_policy(ctx: WriteCtx, changes: list[Change]) -> list[Change]:
    """Give each new or changed ticket that is not solved, and each that comes with its past, the policy that matches it."""
    concerned = [c for c in changes if ctx.op == "create" or (ctx.op == "update" and c.fields - _UNRELATED)]
    tickets = [c.record for c in concerned if isinstance(c.record, Ticket) and (c.record.status not in DONE or is_history(c))]
    if tickets:
        with ctx.elevated("SLA policies") as session:
            policies = session.query(SlaPolicy).where(SlaPolicy.active.is_(True)).order_by(SlaPolicy.position, SlaPolicy.id).all()
            rules = [(policy, check(from_json(policy.match), Ticket, session)) for policy in policies]
            for ticket in tickets:
                ticket.sla = next((policy.ref for policy, rule in rules if matches(rule, ticket, session)), None)
    return changes
