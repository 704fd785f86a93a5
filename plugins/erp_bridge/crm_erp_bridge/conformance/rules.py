"""The rules. Each has its number in the specification and a plain reason, which a connector that breaks it is told."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from crm_core import CRMError

from ..connector import (
    AuthFailed,
    Conflict,
    Connector,
    CursorExpired,
    Invalid,
    NotOffered,
    Ok,
    OpResult,
    Retry,
    Throttled,
    Unavailable,
)
from .proxy import TcpProxy, answer, cut_reply, cut_request, silent, trickle
from .subject import FOREVER, Subject, following

OVERLAP = timedelta(minutes=5)  # what the bridge reads again


def hold(number: int, holds: object, reason: str) -> None:
    """Fail with the rule's number and reason where it does not hold."""
    if not holds:
        pytest.fail(f"rule {number}: {reason}", pytrace=False)


def ids(results: Sequence[OpResult]) -> list[str]:
    """Return the ids of results that are Ok."""
    return [r.id for r in results if isinstance(r, Ok)]


class Rules:
    """Subclass it with a fixture ``subject``, a fresh :class:`Subject` for each test."""

    def test_rule_01_check_tells_who_answered_and_refuses_strangers(self, subject: Subject) -> None:
        found = subject.connector().check()
        hold(1, found.server_time.utcoffset() is not None, "check() must give the server's time with its zone: cursors go by it")
        hold(1, found.version, "check() must say which version answered")
        stranger = subject.stranger()
        if stranger is None:
            return
        try:
            stranger.check()
        except AuthFailed as e:
            said = f"{e} {e.params} {e.__cause__}"
            hold(1, not subject.secret or subject.secret not in said, "an error must not show the secret")
        except Exception as e:
            hold(1, False, f"a wrong password must raise AuthFailed, not {type(e).__name__}")
        else:
            hold(1, False, "a wrong password must raise AuthFailed, and check() let it in")

    def test_rule_02_the_fields_are_the_same_twice_and_cover_what_is_written(self, subject: Subject) -> None:
        connector = subject.connector()
        if not connector.offers("schema"):
            pytest.skip("the connector does not tell the ERP's fields")
        for name in connector.entities:
            hold(2, connector.schema(name) == subject.connector().schema(name), f"schema({name!r}) said two things in two calls")
        missing = subject.sample(0).keys() - connector.schema(subject.entity).keys()
        hold(2, not missing, f"schema() must name every field, and not {', '.join(sorted(missing))}")

    def test_rule_03_what_is_written_comes_back_as_it_was(self, subject: Subject) -> None:
        connector = subject.connector()
        for n, fields in enumerate(subject.tricky()):
            made = ids(subject.applied(connector, subject.op(n, data={**subject.sample(n), **fields})))
            hold(3, len(made) == 1, f"a record with {sorted(fields)} must be written")
            found = [r for r in subject.read(subject.connector()) if r.id == made[0]]
            hold(3, found, "a record that was written must be read again")
            for name, value in fields.items():
                got = found[-1].data.get(name)
                hold(3, got == value and type(got) is type(value), f"{name} was written as {value!r} and came back as {got!r}")

    @pytest.mark.parametrize("limit", [1, 7, 1000])
    def test_rule_04_pages_of_any_size_give_every_record(self, subject: Subject, limit: int) -> None:
        made = subject.put([subject.sample(n) for n in range(subject.rows)])
        pages = subject.pages(subject.connector(), limit=limit)
        hold(4, all(len(p.records) <= limit for p in pages), f"a page of {limit} must not hold more")
        found = [r.id for p in pages for r in p.records]
        hold(4, set(found) == set(made), f"pages of {limit} lost {len(set(made) - set(found))} of {len(made)} records")
        moments = [r.modified_at for p in pages for r in p.records]
        hold(4, moments == sorted(moments), "records must come in the order of the cursor")

    def test_rule_05_records_of_one_instant_all_arrive_across_a_page_edge(self, subject: Subject) -> None:
        made = subject.put([subject.sample(n) for n in range(50)])
        found = [r.id for r in subject.read(subject.connector(), limit=7)]
        hold(5, set(found) == set(made), "records written in one transaction share an instant, and some were lost at the edge of a page")

    def test_rule_06_what_is_committed_late_arrives_after_all(self, subject: Subject) -> None:
        connector = subject.connector()
        end = subject.begin(subject.sample(0))
        if end is None:
            pytest.skip("the ERP has no transactions that can be held open")
        subject.put([subject.sample(1)])
        cursor = following(subject.pages(connector)[-1], OVERLAP)
        late = end()
        hold(
            6,
            late in {r.id for r in subject.read(connector, cursor)},
            "a record that was committed after a later one was read is lost for ever",
        )

    def test_rule_07_what_changes_during_a_read_is_in_this_run_or_the_next(self, subject: Subject) -> None:
        connector = subject.connector()
        made = subject.put([subject.sample(n) for n in range(20)])
        first = connector.read(subject.entity, None, FOREVER, 5, subject.scope)
        subject.change(made[0], subject.sample(100))
        (late,) = subject.put([subject.sample(101)])
        rest = [] if first.complete else subject.pages(connector, following(first), limit=5)
        cursor = following([first, *rest][-1])
        found = [*first.records, *(r for p in rest for r in p.records), *subject.read(connector, cursor)]
        hold(7, late in {r.id for r in found}, "a record made while a read went on was lost")
        hold(7, [r.id for r in found].count(made[0]) >= 2, "a change made while a read went on was lost")

    def test_rule_08_a_restart_after_each_page_ends_the_same(self, subject: Subject) -> None:
        made = subject.put([subject.sample(n) for n in range(23)])
        cursor: str | None = None
        found: list[str] = []
        for _ in range(1000):
            page = subject.connector().read(subject.entity, cursor, FOREVER, 5, subject.scope)
            found += [r.id for r in page.records]
            if page.complete:
                break
            cursor = following(page)
        hold(8, set(found) == set(made), "a new connector that goes on from a cursor must give what the old one would have")

    def test_rule_09_a_cursor_that_is_none_is_said_to_be_expired(self, subject: Subject) -> None:
        subject.put([subject.sample(0)])
        try:
            subject.connector().read(subject.entity, "no cursor of ours \u2603", FOREVER, 5, subject.scope)
        except CursorExpired:
            return
        except Exception as e:
            hold(9, False, f"a cursor that makes no sense must raise CursorExpired, not {type(e).__name__}")
        hold(9, False, "a cursor that makes no sense must raise CursorExpired; silence loses changes for ever")

    def test_rule_10_a_changed_line_or_address_changes_its_record(self, subject: Subject) -> None:
        connector = subject.connector()
        id, _ = subject.put([subject.sample(0), subject.sample(1)])
        before = {r.id: r for page in subject.pages(connector) for r in page.records}
        cursor = following(subject.pages(subject.connector())[-1])
        if not subject.change_line(id):
            pytest.skip("the ERP's records have no parts that it keeps apart")
        found = [r for r in subject.read(connector, cursor) if r.id == id]
        hold(10, found, "the change of a line or address was not read: its record must come again")
        hold(10, found[-1].version != before[id].version, "the record came with its old version, and would be taken for an echo")
        hold(10, found[-1].data != before[id].data, "the record came without what changed")

    def test_rule_11_what_is_deleted_is_seen(self, subject: Subject) -> None:
        connector = subject.connector()
        gone, stays = subject.put([subject.sample(0), subject.sample(1)])
        cursor = following(subject.pages(connector)[-1])
        subject.delete(gone)
        caps = connector.entities[subject.entity]
        if caps.tombstones:
            told = {r.id for r in subject.read(connector, cursor) if r.deleted}
            hold(11, gone in told, "the connector promises tombstones, and a deletion had none")
        elif caps.id_listing:
            living = _listed(subject, connector)
            hold(11, gone not in living and stays in living, "list_ids must name what lives, and nothing else")
        else:
            pytest.skip("deletions cannot be seen: offer tombstones or list_ids")

    def test_rule_12_the_same_key_makes_one_record(self, subject: Subject) -> None:
        made = {id for _ in range(3) for id in ids(subject.applied(subject.connector(), subject.op(1)))}
        hold(12, len(made) == 1, f"three tries with one key gave {len(made)} ids")
        hold(12, len(subject.living()) == 1, f"three tries with one key made {len(subject.living())} records")
        for result in _at_once(10, lambda _: subject.connector().apply([subject.op(2)])):
            busy = isinstance(result, Unavailable | Throttled | OSError)
            hold(12, busy or not isinstance(result, Exception), f"ten tries at once with one key: {result!r}")
        subject.applied(subject.connector(), subject.op(2))
        hold(12, len(subject.living()) == 2, f"ten tries at once with one key made {len(subject.living()) - 1} records")

    def test_rule_13_a_connection_that_breaks_after_the_send_doubles_nothing(self, subject: Subject) -> None:
        for n, fault in enumerate((cut_reply, cut_request)):
            with _proxy(subject) as proxy:
                connector = subject.connector(proxy.address)
                proxy.faults.append(fault)
                _unavailable(13, lambda c=connector, n=n: c.apply([subject.op(n)]), "a broken connection")  # type: ignore[misc]
                try:
                    found = connector.find(subject.entity, subject.op(n).key)
                    hold(13, len(found) == (fault is cut_reply), "find() must tell whether the create that timed out happened")
                except NotOffered:
                    pass
                again = ids(subject.applied(connector, subject.op(n)))
                hold(13, len(again) == 1, "the same op must go through when the connection is back")
            hold(13, len(subject.living()) == n + 1, "a create whose reply was lost was done twice")

    def test_rule_14_a_stale_version_is_a_conflict(self, subject: Subject) -> None:
        connector = subject.connector()
        if not connector.entities[subject.entity].optimistic_lock:
            pytest.skip("the connector does not promise an optimistic lock")
        (id,) = subject.put([subject.sample(0)])
        (seen,) = [r for r in subject.read(connector) if r.id == id]
        subject.change(id, subject.sample(1))
        (result,) = connector.apply([subject.op(2, kind="update", remote_id=id, expect_version=seen.version)])
        if not isinstance(result, Conflict):
            hold(14, False, f"a change on top of an old version must be a Conflict, not {type(result).__name__}")
            return
        hold(14, result.current.version != seen.version, "a Conflict must carry the record as it is now")

    def test_rule_15_one_bad_op_does_not_spoil_the_others(self, subject: Subject) -> None:
        bad = subject.bad()
        if bad is None:
            pytest.skip("the ERP refuses nothing")
        results = subject.applied(subject.connector(), subject.op(1), subject.op(2, data=bad), subject.op(3))
        hold(15, len(results) == 3, "there must be one result for each op, in order")
        hold(15, [type(r) for r in results] == [Ok, Invalid, Ok], f"good, bad, good gave {[type(r).__name__ for r in results]}")
        assert isinstance(results[1], Invalid)
        hold(15, set(results[1].errors) <= set(bad) and results[1].errors, "an Invalid must name the fields that are wrong")

    def test_rule_16_a_busy_or_silent_erp_is_told_from_a_broken_record(self, subject: Subject) -> None:
        with _proxy(subject) as proxy:
            connector = subject.connector(proxy.address)
            proxy.faults.append(answer("429 Too Many Requests", "Retry-After: 7"))
            try:
                (result,) = connector.apply([subject.op(1)])
                hold(
                    16, isinstance(result, Retry) and result.after == timedelta(seconds=7), "a 429 must be a Retry after what the ERP asks"
                )
            except Throttled as e:
                hold(16, e.after == timedelta(seconds=7), "Throttled must carry what the ERP's Retry-After asks")
            except Exception as e:
                hold(16, False, f"a 429 must be Throttled or a Retry, not {type(e).__name__}")
            faults = {"a 503": answer("503 Service Unavailable"), "silence": silent(20), "a trickle": trickle(0.5)}
            for what, fault in faults.items():
                proxy.faults.append(fault)
                _unavailable(16, lambda c=connector: c.apply([subject.op(1)]), what)  # type: ignore[misc]
            hold(16, len(ids(subject.applied(connector, subject.op(1)))) == 1, "when the ERP is back, the op must go through")
        hold(16, len(subject.living()) == 1, "after all this there must be one record")

    def test_rule_18_amounts_are_the_erps_to_the_cent(self, subject: Subject) -> None:
        documents = subject.documents()
        if not documents:
            pytest.skip("the ERP has no orders, invoices or payments")
        read = {name: {r.id: r for r in subject.read(subject.connector(), entity=name)} for name in {d.entity for d in documents}}
        for document in documents:
            record = read[document.entity].get(document.id)
            hold(18, record is not None, f"{document.entity} {document.id} was not read")
            for path, amount in document.amounts.items():
                got = record.data.get(path) if record else None
                hold(18, not isinstance(got, float), f"{path} of {document.entity} is a float, which holds no cents: give text or Decimal")
                hold(18, str(got) == amount, f"{path} of {document.entity} is {amount} in the ERP, and {got} was read")

    def test_rule_19_live_questions_have_the_erps_own_answer(self, subject: Subject) -> None:
        questions = subject.questions()
        if not questions:
            pytest.skip("no live question is asked")
        for question, args, expected in questions:
            got = subject.connector().ask(question, args, timeout=timedelta(seconds=10))
            hold(19, got == expected, f"{question} {args} is {expected} in the ERP, and the answer was {got}")

    def test_rule_20_memory_stays_flat_however_much_is_read(self, subject: Subject) -> None:
        connector = subject.connector()
        for start in range(0, subject.many, 500):
            subject.put([subject.sample(n) for n in range(start, min(start + 500, subject.many))])
        tracemalloc.start()
        try:
            pages = subject.turn(connector, limit=connector.entities[subject.entity].bulk_read)
            next(pages)
            _, first = tracemalloc.get_traced_memory()
            read = sum(len(page.records) for page in pages)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        hold(20, peak < 3 * first + 1_000_000, f"reading {read} records took {peak:,} bytes, and a page of them {first:,}")

    def test_rule_21_readers_and_writers_at_once_do_not_disturb_each_other(self, subject: Subject) -> None:
        made = subject.put([subject.sample(n) for n in range(20)])
        numbers = iter(range(100, 200))

        def write() -> list[OpResult]:
            return subject.connector().apply([subject.op(next(numbers))])

        found = _at_once(6, lambda n: write() if n < 2 else [r.id for r in subject.read(subject.connector(), limit=7)])
        for result in found:
            hold(21, not isinstance(result, Exception), f"four readers and two writers: {result!r}")
        hold(21, all(set(made) <= set(r) for r in found[2:]), "a reader lost records while others wrote")

    def test_rule_22_nothing_shows_the_secret(self, subject: Subject) -> None:
        connector = subject.connector()
        if subject.secret:
            hold(22, subject.secret not in f"{connector!r} {connector.capabilities()!r}", "the connector's repr shows the secret")

    def test_rule_24_what_is_promised_is_offered(self, subject: Subject) -> None:
        connector = subject.connector()
        for name, caps in connector.entities.items():
            hold(24, not caps.id_listing or connector.offers("list_ids"), f"{name} promises id_listing, and list_ids is not written")
            hold(24, caps.bulk_read > 0 and caps.bulk_write > 0, f"{name} must take at least one record a call")
        hold(24, subject.entity in connector.entities, "entities must name what the connector can do")


def _proxy(subject: Subject) -> TcpProxy:
    if subject.address is None:
        pytest.skip("the connector has no socket")
    return TcpProxy(subject.address)


def _unavailable(number: int, work: Callable[[], Any], what: str) -> None:
    """Demand that a call says that nobody knows whether it happened."""
    try:
        found = work()
    except (Unavailable, OSError):
        return
    except CRMError as e:
        hold(number, False, f"{what} must raise Unavailable, not {type(e).__name__}")
    except Exception as e:
        hold(number, False, f"{what} must raise Unavailable or an OSError, not {type(e).__name__}")
    else:
        hold(number, isinstance(found[0], Retry), f"{what} must raise Unavailable, and gave {found!r}")


def _listed(subject: Subject, connector: Connector) -> set[str]:
    found: set[str] = set()
    after: str | None = None
    while True:
        page = connector.list_ids(subject.entity, after, 100, subject.scope)
        found |= page.records.keys()
        after = page.next
        if after is None:
            return found


def _at_once(times: int, work: Callable[[int], Any]) -> list[Any]:
    """Run *work* in so many threads that start together; what one raises is its result."""
    start = threading.Barrier(times)
    results: list[Any] = [None] * times

    def run(n: int) -> None:
        start.wait()
        try:
            results[n] = work(n)
        except Exception as e:
            results[n] = e

    threads = [threading.Thread(target=run, args=(n,)) for n in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
