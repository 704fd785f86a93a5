"""What a plugin's own exception says of a person stands in no log, parked line nor panel; type, code and stack do [S14] [C72]."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from crm_core import Actor, Change, Contact, Created, Email, FileKeys, Plugin, PluginFailed, Session, WriteCtx, check_write
from crm_core.masking import masked, personal

DESK = Actor.system("desk", tenant="main")
CANARIES = ("Byron", "canary@example.com", "Ockham")
clumsy = Plugin("clumsy", version="1.0")
clumsy.grants("contact:read")


@clumsy.on(Created[Contact])
def hear(session: Session, event: Created[Contact]) -> None:
    """Say of whom, and what, in a chain of errors."""
    name, (email,) = event.new["name"], event.new["emails"]
    try:
        raise LookupError(f"no such name: {name.upper()}")
    except LookupError as e:
        e.add_note(f"asked of {event.new['title']}")
        raise ValueError(f"cannot greet {name!r} <{email.address}> at step 7") from e


@clumsy.hook(check_write, on=Contact)
def check(ctx: WriteCtx, changes: list[Change]) -> None:
    """Choke on a name."""
    for change in changes:
        if isinstance(change.record, Contact) and change.record.last_name:
            raise KeyError(change.record.last_name)


@clumsy.panel(Contact, label="clumsy.panel", reads=[Contact])
def panel(session: Session, contact: Contact) -> dict[str, Any]:
    """Choke on a name."""
    raise RuntimeError(f"{contact.name} has no picture")


def formatted(caplog: pytest.LogCaptureFixture) -> str:
    form = logging.Formatter()
    return "\n".join(f"{form.format(r)} {getattr(r, 'crm_facts', '')}" for r in caplog.records)


@pytest.mark.parametrize("keys", [False, True], ids=["no keys", "keys"])
def test_of_a_failing_subscriber_log_and_parked_line_tell_all_but_the_person(
    make_crm: Callable[..., Any], tmp_path: Any, caplog: pytest.LogCaptureFixture, keys: bool
) -> None:
    crm = make_crm(plugins=[clumsy], **({"keys": FileKeys.create(tmp_path / "crm.keys")} if keys else {}))
    with crm.session(DESK) as s:
        ada = s.create(Contact(name="Ada Byron", title="of Ockham", emails=[Email("canary@example.com")]))
        s.update(Contact, ada.id, {"name": "Ada King"})
    crm.run_pending()
    (line,) = crm.delivery.parked()
    said = formatted(caplog)
    assert [c for c in (*CANARIES, "BYRON") if c in said + line.error] == []
    assert "ValueError" in said
    assert "LookupError" in said
    assert ", in hear" in said, "the stack is there"
    if keys:
        assert line.error.startswith("ValueError: hear, line ")
    else:
        assert line.error == "ValueError: cannot greet '***' <***> at step 7"
        assert "no such name: ***" in said
        assert "asked of ***" in said


def test_what_a_failing_hook_said_is_masked_in_the_cause_that_hosts_log(make_crm: Callable[..., Any]) -> None:
    crm, family = make_crm(plugins=[clumsy]), "Byron"
    with crm.session(DESK) as s, pytest.raises(PluginFailed) as e:
        s.create(Contact(name="Ada", last_name=family))
    said = "".join(traceback.format_exception(e.value))
    assert "Byron" not in said
    assert "KeyError: '***'" in said or "KeyError: \"'***'\"" in said
    assert type(e.value.__cause__).__name__ == "KeyError"


def test_a_failing_panel_tells_who_looks_at_it_the_error_s_type_alone(
    make_crm: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    crm = make_crm(plugins=[clumsy])
    with crm.session(DESK) as s:
        ada = s.create(Contact(name="Ada Byron"))
        (shown,) = [p for p in s.view360(ada).panels if p.plugin == "clumsy"]
    assert shown.error is not None
    assert "RuntimeError" in shown.error
    assert "Byron" not in shown.error + formatted(caplog)


def test_an_error_that_says_nothing_of_what_is_known_stays_the_same_object() -> None:
    error = ValueError("a new order")
    assert masked(error, {"Ada", "new ord"}) is error
    assert str(masked(error, {"new"})) == "a *** order"
    assert str(masked(ValueError("Adamant, ada!"), {"Ada"})) == "Adamant, ***!"


def test_groups_causes_and_circles_are_masked_whole() -> None:
    inner = ValueError("Byron 1")
    inner.__context__ = KeyError("Byron 2")
    inner.__context__.__context__ = inner
    group = ExceptionGroup("of Byron", [inner, TypeError("fine")])
    said = "".join(traceback.format_exception(masked(group, {"Byron"})))
    assert "Byron" not in said
    assert [word for word in ("ExceptionGroup", "ValueError", "KeyError", "TypeError: fine") if word not in said] == []
    assert "".join(traceback.format_exception(masked(group, None))).count("Byron") == 0


def test_what_is_personal_is_found_in_records_wherever_they_stand() -> None:
    ada = Contact(name="Ada Byron", title="Dr", emails=[Email("canary@example.com")], owner="u7")
    assert {"Ada Byron", "canary@example.com"} <= personal({"a": [Change(record=ada, old=None, fields=frozenset({"name"}))]})
    assert not {"u7", "Dr"} & personal(ada)
