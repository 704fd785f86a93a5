"""What the shop's own tests do not show of Django: run by ``manage.py test`` in ``test_django.py``, on both databases."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import IntegrityError, connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, TransactionTestCase, override_settings
from django.urls import include, path
from shop.crm import crm
from shop.models import Order
from sqlalchemy import select

import crm_sales
from crm_core import (
    CRM,
    Account,
    Actor,
    Conflict,
    Email,
    FixedClock,
    LoadError,
    Money,
    Note,
    NotFound,
    Refused,
    Role,
    Runtime,
    SchemaBehind,
    User,
    subordinates,
)
from crm_core.ext import django as crm_django
from crm_core.ext.django.apps import migrated
from crm_core.ext.django.management.commands.crm import Command
from crm_sales.api import Opportunity, Sales
from tests.web.openapi_form import faults

BOB = Actor(2, roles={"seller"})
SYSTEM = Actor.system("test", tenant="main")
second = CRM("django://default", plugins=[crm_sales.plugin], prefix="second_")
session = crm_django.install(crm, actor=lambda _: BOB)


class Staff:
    """Two people; the second reports to the first, or to nobody."""

    def __init__(self) -> None:
        self.asked, self.manager = 0, "1"

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Sequence[User]:
        self.asked += 1
        return [User("1", "Boss"), User("2", "Rep", manager=self.manager or None)]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        return None


BOSS = Actor("1", roles={"boss"})


def staffed(staff: Staff) -> tuple[CRM, FixedClock]:
    """Make a CRM on the shop's tables with a directory, and the clock that says how old its answers are."""
    clock = FixedClock(datetime.now(UTC))
    runtime = Runtime.seeded(secrets.token_hex(), clock=clock)
    return CRM("django://default", roles=[Role("boss").allow(Account, "read", where=subordinates)], directory=staff, runtime=runtime), clock


def names() -> list[str]:
    with crm.session(BOB, write=False) as s:
        return [account.name for account in s.query(Account).all()]


def notes() -> int:
    with crm.session(SYSTEM, write=False) as s:
        return s.query(Note).count()


class OnDjangosConnection(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        second.migrations.upgrade()

    def test_every_kind_of_value_comes_back_as_it_went(self) -> None:
        with second.session(SYSTEM) as s:
            account = s.create(Account(name="Müller 株式会社", emails=[Email("ann@example.com", primary=True)]))
            amount = Money("12345678901.25", "EUR")
            deal = s.create(Opportunity(name="x", account=account.ref, amount=amount, expected_close=date(2026, 2, 28)))
            s.use(Sales).win(deal, reason="price")
        with second.session(SYSTEM, write=False) as s:
            for found in (s.get(Opportunity, deal.id), s.query(Opportunity).where(Opportunity.expected_close == date(2026, 2, 28)).one()):
                self.assertEqual((found.amount, found.expected_close, found.stage), (amount, date(2026, 2, 28), "won"))
                self.assertEqual((found.created_at, found.created_at.tzinfo is not None), (deal.created_at, True))
            self.assertEqual(s.get(Account, account.id).emails, [Email("ann@example.com", primary=True)])
            total = select(Opportunity.amount.sum()).group_by(Opportunity.amount.currency)
            self.assertEqual(s.execute(total).scalar_one(), amount)

    def test_a_failed_call_leaves_the_block_as_it_was(self) -> None:
        with transaction.atomic(), crm.session(BOB) as s:
            s.create(Account(name="Kept", external_ref="1"))
            with self.assertRaises(Conflict):
                s.create(Account(name="Twice", external_ref="1"))
            Order.objects.create(account=s.query(Account).one().id, item="saw", quantity=1)
        self.assertEqual((names(), Order.objects.count()), (["Kept"], 1))

    def test_a_failed_session_is_undone_and_the_block_goes_on(self) -> None:
        with transaction.atomic():
            Order.objects.create(account="00000000-0000-7000-8000-000000000000", item="saw", quantity=1)
            with self.assertRaises(NotFound), crm.session(BOB) as s:
                s.create(Account(name="Never"))
                s.get(Account, "nothing")
        self.assertEqual((names(), Order.objects.count()), ([], 1))

    def test_a_failed_statement_of_the_orm_undoes_its_own_savepoint_alone(self) -> None:
        with crm.session(BOB) as s:
            s.create(Account(name="Kept"))
            with self.assertRaises(IntegrityError), transaction.atomic():
                Order.objects.create(account=None, item="saw", quantity=1)
        self.assertEqual(names(), ["Kept"])

    def test_callbacks_of_two_sessions_deliver_once_each_event(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            for name in ("A", "B"):
                with crm.session(BOB) as s:
                    s.create(Account(name=name))
        self.assertEqual(notes(), 2)
        with self.captureOnCommitCallbacks(execute=True) as callbacks, crm.session(BOB) as s:
            s.query(Account).all()
        self.assertEqual(callbacks, [])

    def test_the_setting_is_read_at_each_commit_and_holds_where_a_test_plays_one(self) -> None:
        for said, delivered in ((False, 0), (0.5, 2)):
            with override_settings(CRM_DELIVER_ON_COMMIT=said), self.captureOnCommitCallbacks(execute=True), crm.session(BOB) as s:
                s.create(Account(name="A"))
            self.assertEqual(notes(), delivered)

    def test_an_undone_session_has_nothing_delivered(self) -> None:
        with self.captureOnCommitCallbacks(execute=True), self.assertRaises(ZeroDivisionError), transaction.atomic():
            with crm.session(BOB) as s:
                s.create(Account(name="Never"))
            raise ZeroDivisionError
        self.assertEqual(notes(), 0)

    def test_in_a_test_each_session_goes_by_the_directory_as_it_is(self) -> None:
        staff = Staff()
        crm, _ = staffed(staff)
        with crm.session(SYSTEM) as s:
            s.create(Account(name="a", owner="2"))
        seen = []
        for staff.manager in ("1", "", "1", "1"):
            with crm.session(BOSS, write=False) as s:
                seen.append(s.query(Account).count())
        self.assertEqual((seen, staff.asked), ([1, 0, 1, 1], 4))


def failing(request: HttpRequest) -> HttpResponse:
    with session(request) as s:
        account = s.create(Account(name="Never"))
        Order.objects.create(account=account.id, item="saw", quantity=1)
    raise Refused("several_found", entity="account")


async def later(request: HttpRequest) -> HttpResponse:
    def work() -> str:
        with session(request) as s:
            return s.create(Account(name="Later")).id

    try:
        with session(request) as s:
            s.query(Account).all()
    except SynchronousOnlyOperation:
        return HttpResponse(await sync_to_async(work)(), status=201)
    raise AssertionError("the connection was used in the loop")


urlpatterns = [path("failing", failing), path("later", later), path("accounts/", include(crm_django.urls(crm, Account, session=session)))]


class Documented(TestCase):
    def test_the_document_has_each_resource_where_the_urls_have_it(self) -> None:
        document = crm_django.openapi(title="Shop", locale="zh")
        self.assertEqual(faults(document), [])
        self.assertEqual({path for path in document["paths"] if "notes" in path}, {"/notes/", "/notes/{id}"})
        posted = document["paths"]["/accounts/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        self.assertEqual(posted["properties"]["name"]["title"], "名称")


class Committed(TransactionTestCase):
    def tearDown(self) -> None:
        with crm.session(SYSTEM) as s:
            for entity in (Account, Note):
                for record in s.query(entity).all():
                    s.delete(record)

    def test_without_delivery_on_commit_a_worker_delivers(self) -> None:
        with override_settings(CRM_DELIVER_ON_COMMIT=False):
            with crm.session(BOB) as s:
                s.create(Account(name="Acme"))
            self.assertEqual(notes(), 0)
        with self.assertRaises(SystemExit) as ended:
            Command().run_from_argv(["manage.py", "crm", "worker", "--once"])
        self.assertEqual((ended.exception.code, notes()), (0, 1))

    def test_a_commit_delivers_for_as_long_as_the_setting_says_and_leaves_the_rest_to_a_worker(self) -> None:
        crm.run_pending()
        before = notes()
        with override_settings(CRM_DELIVER_ON_COMMIT=False), crm.session(BOB) as s:
            s.create_many([Account(name=f"a{n}") for n in range(60)])
        with override_settings(CRM_DELIVER_ON_COMMIT=0.000001), crm.session(BOB) as s:
            s.create(Account(name="own"))
        self.assertLess(notes() - before, 60)
        crm.run_pending()
        self.assertEqual(notes() - before, 61)

    def test_a_whole_request_in_one_transaction_vanishes_whole(self) -> None:
        wrapper = connections["default"]
        before, wrapper.settings_dict["ATOMIC_REQUESTS"] = wrapper.settings_dict["ATOMIC_REQUESTS"], True
        try:
            with override_settings(ROOT_URLCONF=__name__):
                refused = Client().post("/failing")
                made = Client().post("/accounts/", {"name": "Acme"}, content_type="application/json")
        finally:
            wrapper.settings_dict["ATOMIC_REQUESTS"] = before
        self.assertEqual((refused.status_code, refused.json()["code"], made.status_code), (422, "several_found", 201))
        self.assertEqual((names(), Order.objects.count()), (["Acme"], 0))

    @override_settings(ROOT_URLCONF=__name__)
    async def test_an_async_view_works_in_a_thread_and_is_refused_in_the_loop(self) -> None:
        answer = await AsyncClient().post("/later")
        self.assertEqual((answer.status_code, await sync_to_async(names)()), (201, ["Later"]))
        self.assertEqual(await sync_to_async(notes)(), 1)

    def test_subscribers_run_in_their_turn_among_the_hosts_callbacks(self) -> None:
        seen: list[tuple[str, int]] = []
        with transaction.atomic():
            transaction.on_commit(lambda: seen.append(("before", notes())))
            with crm.session(BOB) as s:
                s.create(Account(name="Acme"))
            transaction.on_commit(lambda: seen.append(("after", notes())))
        self.assertEqual(seen, [("before", 0), ("after", 1)])

    def test_the_directory_is_asked_once_a_second_by_sessions_and_events(self) -> None:
        staff = Staff()
        crm, clock = staffed(staff)
        with transaction.atomic():
            for n in range(3):
                with crm.session(SYSTEM) as s:
                    s.create(Account(name=f"a{n}", owner="2"))
        for _ in range(3):
            with crm.session(BOSS, write=False) as s:
                self.assertEqual(s.query(Account).count(), 3)
            with transaction.atomic(), crm.session(BOSS) as s:
                s.query(Account).all()
        self.assertEqual(staff.asked, 1)
        staff.manager = ""
        clock.advance(timedelta(seconds=1))
        for _ in range(3):
            with crm.session(BOSS, write=False) as s:
                self.assertEqual(s.query(Account).count(), 0)
        self.assertEqual(staff.asked, 2)

    def test_what_the_directory_said_in_a_transaction_that_is_undone_is_forgotten(self) -> None:
        staff = Staff()
        crm, clock = staffed(staff)
        with crm.session(SYSTEM) as s:
            s.create(Account(name="a", owner="2"))
        seen = []

        def look() -> None:
            with crm.session(BOSS, write=False) as s:
                seen.append(s.query(Account).count())

        for manager, undone in (("", "1"), ("1", "")):
            staff.manager = manager
            clock.advance(timedelta(seconds=1))
            look()
            for inner in (False, True):
                staff.manager = undone
                clock.advance(timedelta(seconds=1))
                with transaction.atomic():
                    try:
                        with transaction.atomic() if inner else nullcontext():
                            look()
                            raise ZeroDivisionError
                    except ZeroDivisionError:
                        transaction.set_rollback(not inner)
                    staff.manager = manager
                    if inner:
                        look()
                look()
        self.assertEqual(seen, [0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1])

    def test_a_connection_that_died_is_replaced(self) -> None:
        if connection.vendor == "sqlite":
            self.skipTest("a file does not go away")
        connection.ensure_connection()
        raw: Any = connection.connection
        other: Any = connections["default"].copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [raw.info.backend_pid])
        other.close()
        with self.assertRaises(Exception), crm.session(BOB) as s:  # noqa: B017  # in whichever words: it is gone
            s.create(Account(name="Lost"))
        with crm.session(BOB) as s:
            s.create(Account(name="Kept"))
        self.assertEqual(names(), ["Kept"])

    def test_threads_have_a_connection_each(self) -> None:
        if connection.vendor == "sqlite":
            self.skipTest("the test database is one in memory, whose users cannot wait for each other; the shops' tests have a file")
        failed: list[BaseException] = []

        def work(number: int) -> None:
            try:
                with transaction.atomic(), crm.session(BOB) as s:
                    account = s.create(Account(name=f"T{number}"))
                    Order.objects.create(account=account.id, item="saw", quantity=number)
            except BaseException as e:
                failed.append(e)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((failed, len(names()), Order.objects.count()), ([], 8, 8))


class Tables(TransactionTestCase):
    def test_a_name_that_is_no_database_of_djangos_is_a_load_error(self) -> None:
        with self.assertRaises(LoadError) as refused:
            CRM("django://elsewhere")
        self.assertIn("elsewhere", str(refused.exception))

    @override_settings(CRM="")
    def test_an_app_without_its_setting_says_which(self) -> None:
        with self.assertRaises(ImproperlyConfigured):
            migrated(using="default")

    def test_migrate_brings_the_tables_and_a_crm_without_them_says_so(self) -> None:
        crm.migrations.check()
        third = CRM("django://default", prefix="third_")
        with self.assertRaises(SchemaBehind), third.session(SYSTEM) as s:
            s.query(Account).all()
