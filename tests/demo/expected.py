"""The journal of the story, derived from what happens in each step: who writes what, and with whose rights.

A record that is written is a row of who wrote it. Code of a module that needs more than its caller's rights says why in a row of its own,
and what it then writes is the module's.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs


@attrs.frozen
class Row:
    """A row: whose it is, and its kind without the module's name; of elevated rights, their reason."""

    who: str
    what: str
    reason: str = ""


def created(who: str, *entities: str) -> list[Row]:
    """Somebody creates records."""
    return [Row(who, f"{entity}.created") for entity in entities]


def updated(who: str, *entities: str) -> list[Row]:
    """Somebody changes records."""
    return [Row(who, f"{entity}.updated") for entity in entities]


def told(who: str, *events: str) -> list[Row]:
    """A module's code, called by somebody, tells what happened beyond the change of a record."""
    return [Row(who, event) for event in events]


def elevated(module: str, reason: str) -> list[Row]:
    """A module's code takes more rights than its caller has."""
    return [Row(module, "core.elevated", reason)]


def story() -> dict[str, list[Row]]:
    """Return the rows of each step, in the journal's order."""
    return {
        "set up": set_up(),
        "campaign": created("mia", "campaign", "campaign_cost"),
        "ask": [*intake(of_a_new_lead()), *intake([])],
        "win over": win_over(),
        "quote and win": [*quote(lines=2), *order(lines=2), *win(), *queued_for_the_erp("customer", "deal"), *handover(promises=1)],
        "invoice": invoice(),
        "answer": answer(),
        "opinion": opinion(),
    }


def set_up() -> list[Row]:
    stages = ("new", "prospecting", "engaging", "proposal", "negotiation", "won", "lost")
    return [
        Row("demo", "core.settings_changed"),
        *created("demo", "exchange_rate", "exchange_rate"),  # of USD and CNY to EUR
        *elevated("sales", "the first pipeline"),
        *created("sales", "pipeline"),
        *elevated("sales", "stages in use"),
        *created("sales", *("stage" for _ in stages)),
        *created("demo", "business_calendar", "sla_policy", "survey"),
    ]


# Sales


def intake(lead: Sequence[Row]) -> list[Row]:
    """A form comes in: *lead* is what it makes of a stranger; of a known lead, nothing. Either way it is kept as an interaction."""
    return [*elevated("sales", "duplicates of a lead"), *lead, *created("sales", "interaction"), *first_touch()]


def of_a_new_lead() -> list[Row]:
    """It goes to the next in turn; the turn is kept under a lock, and is made when it is first asked for."""
    turn = [*elevated("sales", "turn in leads"), *created("sales", "rotation"), *updated("sales", "rotation")]
    return [*turn, *created("sales", "lead"), *told("sales", "lead_assigned")]


def first_touch() -> list[Row]:
    """Marketing hears of the form, looks for the person's and the lead's first touches, and keeps a touch."""
    looks = [*elevated("marketing", "first touches"), *elevated("marketing", "first touches")]
    return [*elevated("first_touch", "touch of an intake"), *looks, *created("first_touch", "touch")]


def win_over() -> list[Row]:
    """Bob calls, and converts the lead: what was said with it becomes the account's, and the lead is locked."""
    said = ("form", "form", "call")
    return [
        *created("bob", "interaction"),
        *elevated("sales", "lock of a lead"),
        *created("bob", "account", "contact", "opportunity"),
        *moved_by_bob(),
        *elevated("sales", "history of a converted lead"),
        *updated("sales", *("interaction" for _ in said)),
        *elevated("sales", "a converted lead is locked"),
        *updated("sales", "lead"),
        *elevated("first_touch", "what is kept of a converted lead"),
        *told("sales", "lead_converted"),
        *created("bob", "commitment"),
    ]


def moved_by_bob() -> list[Row]:
    """A deal enters a stage."""
    return [*elevated("sales", "stage history"), *created("sales", "stage_history"), *told("bob", "opportunity_moved")]


def quote(lines: int) -> list[Row]:
    """A quote with its totals, which is sent, and accepted."""
    return [
        *first_number("Q"),
        *created("bob", "quote", *["quote_line"] * lines),
        *elevated("sales", "totals of a quote"),
        *updated("sales", "quote"),
        *updated("bob", "quote", "quote"),
        *told("bob", "quote_accepted"),
    ]


def order(lines: int) -> list[Row]:
    """Its order, which nobody writes by hand, and which Bob confirms."""
    return [
        *elevated("sales", "order of a quote"),
        *first_number("O"),
        *created("sales", "order", *["order_line"] * lines),
        *updated("bob", "order"),
        *told("bob", "order_confirmed"),
    ]


def first_number(series: str) -> list[Row]:
    """The first number of a series makes the series, and takes a number of it."""
    return [*elevated("sales", f"number of {series}"), *created("sales", "number_series"), *updated("sales", "number_series")]


def win() -> list[Row]:
    return [*updated("bob", "opportunity"), *moved_by_bob(), *told("bob", "opportunity_won")]


# After the commit


def queued_for_the_erp(*records: str) -> list[Row]:
    """The bridge hears of order and deal, of each that it changed and what that means; the deal is sent once, before it its customer."""
    heard = [*elevated("erp_bridge", "queue for the ERP"), *elevated("deals", "what is to be in the ERP")]
    return [*heard, *heard, *heard, *created("erp_bridge", *("outbound" for _ in records)), *heard]


def handover(promises: int) -> list[Row]:
    """Service hears of the deal that was won: a request with its checklist, and what sales promised."""
    checklist = ("Kick-off call", "Accounts set up", "Training held", "Handed over to support")
    items = ["checklist_item" for _ in checklist]
    return created("handover", "service_request", *items, *["promise"] * promises)


# The ERP


def invoice() -> list[Row]:
    """The ERP answers a write in the run after it was sent; what waits for it is sent then. When all is quiet, its facts are read."""
    sent_and_pending = updated("erp_bridge", "outbound", "outbound")
    put_off = updated("erp_bridge", "outbound")
    sent_again = updated("erp_bridge", "outbound")
    bound_and_done = [*created("erp_bridge", "binding"), *updated("erp_bridge", "outbound")]
    customer_read_nothing = created("erp_bridge", "cursor") + updated("erp_bridge", "cursor")
    return [
        *created("erp_bridge", "lease"),
        *run([*sent_and_pending, *put_off]),  # the customer; the deal waits for it
        *run([*sent_again, *bound_and_done, *sent_and_pending]),  # the customer's answer; the deal
        *run([*sent_again, *bound_and_done]),  # the deal's answer
        *run([]),
        *run([*customer_read_nothing, *taken_in("order"), *taken_in("invoice"), *taken_in("payment")]),
    ]


def run(work: Sequence[Row]) -> list[Row]:
    """A run takes the lease, works, gives it back, and is kept."""
    return [*updated("erp_bridge", "lease"), *work, *updated("erp_bridge", "lease"), *created("erp_bridge", "run")]


def taken_in(fact: str) -> list[Row]:
    """A file with one fact: the record, what it is in the ERP, how far we read, and that the file is used up."""
    read_to = [*created("erp_bridge", "cursor"), *updated("erp_bridge", "cursor")]
    return [*created("erp_bridge", fact, "binding"), *read_to, *created("erp_bridge", "seen_file")]


# Service


def answer() -> list[Row]:
    """Eve opens a ticket, replies, and solves it; its log is the module's, and each answer is held against what was promised."""
    return [
        *elevated("service", "SLA policies"),
        *created("eve", "ticket"),
        *logged(),
        *created("eve", "ticket_comment"),
        *elevated("service", "ticket answered"),
        *updated("service", "ticket"),
        *logged(),
        *elevated("service", "SLA check"),
        *updated("eve", "ticket"),
        *logged(),
        *told("eve", "ticket_solved"),
        *elevated("service", "SLA check"),
    ]


def logged() -> list[Row]:
    """A change of a ticket's status goes into its log."""
    return [*elevated("service", "ticket log"), *created("service", "ticket_change")]


def opinion() -> list[Row]:
    """Carol is invited, and answers as a visitor with a link and no rights; a good score needs no ticket."""
    invited = [*elevated("service", "survey invitations"), *created("service", "survey_invitation")]
    answered = [*updated("service", "survey_invitation"), *created("service", "survey_response")]
    follow_up = elevated("service", "follow-up of a survey")
    return [*invited, *elevated("service", "answer to a survey"), *answered, *follow_up, *told("service", "survey_answered")]
