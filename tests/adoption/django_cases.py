"""What Django's ORM and admin write to an adopted model: run by Django's own test runner in ``test_django.py``, on both databases."""

from __future__ import annotations

import logging
from datetime import timedelta
from io import StringIO
from typing import Any
from unittest.mock import ANY, patch

from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import AbstractUser, Group, User
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models.functions import Upper
from django.test import Client, TestCase, TransactionTestCase
from django.test.utils import isolate_apps
from django.utils import timezone

from crm_core import CRM, Account, Actor, Conflict, LoadError, Money, Ref
from crm_core.adoption import Adopted
from crm_core.doctor import examine
from crm_core.errors import WrongArgument
from crm_core.ext import django as crm_django
from crm_sales.api import Opportunity
from tests.adoption.django_shop.crm import crm, heard
from tests.adoption.django_shop.models import Customer, Favourite, Order, Region, Wholesaler

HOST = Actor.system("shop", tenant="main")
BOB = Actor("9")


def id_of(customer: Any) -> str:
    return crm.adoption.id(Account, customer.pk)


def journal(customer: Any) -> list[tuple[str, int, str]]:
    """Return what the journal knows of a customer: kind, version and who."""
    table = crm.tables.system.journal
    key = id_of(customer) if isinstance(customer, models.Model) else crm.adoption.id(Account, customer)
    with crm.bound.begin(write=False) as rows:
        found = rows.execute(table.select().where(table.c.record == key).order_by(table.c.id))
        return [(row.kind.split(".")[1], row.version, row.actor) for row in found]


def kinds(customer: Any) -> list[str]:
    return [kind for kind, _, _ in journal(customer)]


def deal(customer: Any) -> Opportunity:
    with crm.session(HOST) as s:
        return s.create(Opportunity(name="Deal", account=Ref(Account, id_of(customer)), amount=Money("1", "EUR")))


class OneModel(TestCase):
    def test_a_model_is_the_account_with_its_columns_and_its_defaults(self) -> None:
        ann = User.objects.create(username="ann")
        with crm.session(HOST) as s:
            made = s.create(Account(name="Beta", owner=str(ann.pk), external_ref="B1"))
            self.assertEqual(s.get(Account, made.id).owner, str(ann.pk))
        row = Customer.objects.get(pk=crm.adoption.key(made))
        self.assertEqual((row.company_name, row.rep, row.number, row.sort), ("Beta", ann, "B1", "company"))
        self.assertEqual((row.country, row.vat, row.options, str(row.rating)), ("DE", "", {}, "1.50"))
        self.assertLess(abs(timezone.now() - row.joined), timedelta(minutes=1))
        self.assertLess(abs(timezone.now() - row.changed), timedelta(minutes=1))
        with crm.session(HOST) as s:
            found = s.get(Account, made.id)
            self.assertEqual((found.created_at, found.version), (row.joined, 1))
            s.update(Account, found.id, {"name": "Beta Ltd"})
        row.refresh_from_db()
        self.assertEqual((row.company_name, kinds(row)), ("Beta Ltd", ["created", "updated"]))

    def test_a_model_that_has_no_table_or_no_observed_manager_is_refused(self) -> None:
        for abstract in (models.Model, AbstractUser):
            with self.assertRaises(LoadError) as no_table:
                Adopted(abstract, {})
            self.assertEqual(no_table.exception.code, "adopted_no_table")
        other = CRM("django://default", prefix="other_", adopt={Account: Adopted(Region, {"name": "name"})})
        with self.assertRaises(LoadError) as unobserved:
            crm_django.observe(other)
        self.assertEqual(unobserved.exception.code, "adopted_manager")
        with self.assertRaises(WrongArgument):
            crm_django.observe(CRM("sqlite://"))

    def test_a_model_of_every_kind_of_column_becomes_a_table(self) -> None:
        with isolate_apps("tests.adoption.django_shop"):

            class Whole(models.Model):
                id: Any = models.UUIDField(primary_key=True)
                small: Any = models.SmallIntegerField()
                on: Any = models.DateField(auto_now=True)
                at: Any = models.TimeField(auto_now_add=True)
                address: Any = models.GenericIPAddressField()
                raw: Any = models.BinaryField(db_default=b"")
                owner: Any = models.ForeignKey(User, models.CASCADE, db_column="boss")

                class Meta:
                    app_label = "django_shop"

        table = Adopted(Whole, {}).table
        self.assertEqual(
            {c.name: str(c.type) for c in table.c},
            {
                "id": ANY,
                "small": "SMALLINT",
                "on": "DATE",
                "at": "TIME",
                "address": "GenericIPAddressField",
                "raw": "BLOB",
                "boss": "INTEGER",
            },
        )
        made = {c.name for c in table.c if c.default is not None or c.server_default is not None}
        self.assertEqual(([c.name for c in table.primary_key], made), (["id"], {"on", "at", "raw"}))

    def test_who_observes_is_warned_of_nothing(self) -> None:
        self.assertEqual([found.code for found in examine(crm) if found.code == "doctor_unobserved"], [])
        crm_django.observe(crm)  # once more is the same
        self.assertEqual(kinds(Customer.objects.create(company_name="Once")), ["created"])


class Observed(TestCase):
    def setUp(self) -> None:
        heard.clear()
        self.acme = Customer.objects.create(company_name="Acme", number="A1")

    def test_save_journals_old_and_new_and_subscribers_hear_it(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            self.acme.company_name = "Acme Ltd"
            self.acme.save()
            self.acme.country = "FR"  # none of ours
            self.acme.save(update_fields=["country"])
        self.assertEqual(journal(self.acme), [("created", 1, "system:host"), ("updated", 2, "system:host")])
        self.assertEqual(heard, [("created", "Acme"), ("updated", {"name": ("Acme", "Acme Ltd")})])

    def test_every_way_to_write_through_a_manager_is_journalled_row_by_row(self) -> None:
        two, three = Customer.objects.bulk_create([Customer(company_name="Two"), Customer(company_name="Three", number="3")])
        self.assertEqual((kinds(two), kinds(three)), (["created"], ["created"]))
        Customer.objects.filter(pk__in=[two.pk, three.pk]).update(company_name=Upper("company_name"))
        two.company_name, three.company_name = "Zwei", "Drei"
        Customer.objects.bulk_update([two, three], ["company_name"])
        Customer.objects.update_or_create(number="3", defaults={"company_name": "Trois"})
        Customer.objects.get_or_create(number="4", defaults={"company_name": "Four"})
        self.assertEqual(kinds(two), ["created", "updated", "updated"])
        self.assertEqual(kinds(three), ["created", "updated", "updated", "updated"])
        self.assertEqual(kinds(Customer.objects.get(number="4")), ["created"])
        Favourite.objects.filter(pk=two.pk).update(company_name="Favourite")
        self.assertEqual(len(journal(two)), 4)

    def test_rows_that_an_insert_meets_are_told_as_changed_or_not_at_all(self) -> None:
        given = [Customer(company_name="Met", number="A1"), Customer(company_name="New", number="N1")]
        options: Any = {"update_conflicts": True, "update_fields": ["company_name"], "unique_fields": ["number"]}
        Customer.objects.bulk_create(given, **options)
        new = Customer.objects.get(number="N1")
        self.assertEqual((kinds(self.acme), kinds(new)), (["created", "updated"], ["created"]))
        given = [Customer(company_name="Passed over", number="A1"), Customer(company_name="Newer", number="N2")]
        Customer.objects.bulk_create(given, ignore_conflicts=True)
        newer = Customer.objects.get(number="N2")
        self.assertEqual((kinds(self.acme), kinds(newer)), (["created", "updated"], ["created"]))
        keyed = [Customer(pk=self.acme.pk, company_name="Keyed"), Customer(pk=newer.pk + 10, company_name="Keyed too")]
        Customer.objects.bulk_create(keyed, ignore_conflicts=True)
        self.assertEqual((len(journal(self.acme)), kinds(keyed[1])), (2, ["created"]))

    def test_a_deleted_row_is_a_deleted_record_with_its_last_values(self) -> None:
        pks = [Customer.objects.create(company_name=f"Gone {n}").pk for n in range(3)]
        with self.captureOnCommitCallbacks(execute=True):
            Customer.objects.get(pk=pks[0]).delete()
            Customer.objects.filter(pk__in=pks[1:]).delete()
        self.assertEqual([kinds(pk) for pk in pks], [["created", "deleted"]] * 3)
        self.assertEqual(sorted(name for kind, name in heard if kind == "deleted"), ["Gone 0", "Gone 1", "Gone 2"])

    def test_a_customer_with_deals_is_protected_and_its_row_stays(self) -> None:
        deal(self.acme)
        with self.assertRaises(Conflict) as refused, transaction.atomic():
            self.acme.delete()
        self.assertEqual((refused.exception.code, Customer.objects.filter(pk=self.acme.pk).count()), ("protected", 1))
        Region.objects.create(name="North").customers.add(self.acme)
        self.assertEqual(kinds(self.acme), ["created"])

    def test_what_django_does_to_related_rows_is_journalled_too(self) -> None:
        ann = User.objects.create(username="ann")
        self.acme.rep = ann
        self.acme.save()
        ann.delete()  # on_delete=SET_NULL
        with crm.session(HOST, write=False) as s:
            self.assertEqual((s.get(Account, id_of(self.acme)).owner, len(journal(self.acme))), (None, 3))
        Order.objects.create(customer=self.acme)
        pk = self.acme.pk
        self.acme.delete()
        self.assertEqual((Order.objects.count(), kinds(pk)[-1]), (0, "deleted"))

    def test_a_child_models_row_is_its_parents(self) -> None:
        big = Wholesaler.objects.create(company_name="Big", discount=3)
        big.company_name = "Bigger"
        big.save()
        Wholesaler.objects.filter(discount=3).update(company_name="Biggest", discount=4)
        Wholesaler.objects.filter(discount=4).update(discount=5)
        pk = big.pk
        big.delete()
        self.assertEqual(kinds(pk), ["created", "updated", "updated", "deleted"])

    def test_what_was_undone_leaves_nothing(self) -> None:
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            self.acme.company_name = "Lost"
            self.acme.save()
            raise ZeroDivisionError
        with self.assertRaises(IntegrityError), transaction.atomic():
            Customer.objects.create(company_name="Twice", number="A1")
        self.assertEqual(kinds(self.acme), ["created"])

    def test_an_unseen_row_is_written_down_as_it_was_found(self) -> None:
        with connection.cursor() as cursor, self.assertLogs("crm_core.adoption", logging.WARNING) as told:
            cursor.execute(
                "INSERT INTO django_shop_customer (company_name, sort, country, vat, options, rating, joined, changed) "
                "VALUES ('Raw', 'company', 'DE', '', '{}', 1, '2020-01-01 00:00:00', '2020-01-01 00:00:00')"
            )
        self.assertEqual([record.__dict__["crm_event"] for record in told.records], ["adopted_bulk"])
        raw = Customer.objects.get(company_name="Raw")
        self.assertEqual(kinds(raw), [])
        raw.company_name = "Cooked"
        raw.save()
        self.assertEqual(kinds(raw), ["created", "updated"])

    def test_what_goes_past_the_observed_managers_is_named_in_the_log_and_nothing_else_is(self) -> None:
        with self.assertNoLogs("crm_core.adoption", logging.WARNING):
            self.acme.save()
            Customer.objects.filter(pk=self.acme.pk).update(country="IT")
            Customer.plain.filter(pk=self.acme.pk).delete()
            with crm.session(HOST) as s:
                s.create(Account(name="Ours"))
        with self.assertLogs("crm_core.adoption", logging.WARNING) as told:
            Customer.plain.update(company_name="Past us")
        self.assertEqual(told.records[0].__dict__["crm_facts"], {"table": "django_shop_customer"})

    def test_after_a_deletion_that_was_refused_half_way_what_goes_past_is_named_again(self) -> None:
        deal(Customer.objects.create(company_name="Kept by a deal"))
        with self.assertRaises(Conflict), transaction.atomic():
            Customer.objects.all().delete()  # the first has no deals
        with self.assertLogs("crm_core.adoption", logging.WARNING) as told:
            Customer.plain.update(company_name="Past us")
        self.assertEqual(told.records[0].__dict__["crm_facts"], {"table": "django_shop_customer"})
        self.acme.delete()
        self.assertEqual(Customer.objects.count(), 1)

    def test_the_orms_write_and_the_crms_join_in_one_session(self) -> None:
        with transaction.atomic(), crm_django.session(crm, HOST) as s:
            made = s.create(Account(name="Ours"))
            Customer.objects.filter(pk=crm.adoption.key(made)).update(company_name="Theirs")
            s.update(Account, made.id, {"industry": "Chairs"})
        self.assertEqual(journal(crm.adoption.key(made)), [("created", 1, ANY), ("updated", 2, "system:host"), ("updated", 3, ANY)])
        with crm.session(HOST, write=False) as s:
            found = s.get(Account, made.id)
            self.assertEqual((found.name, found.industry, found.version), ("Theirs", "Chairs", 3))


class WhoWrites(TestCase):
    def setUp(self) -> None:
        self.ann = User.objects.create_superuser("ann", password="x")
        self.ann.groups.add(Group.objects.create(name="rep"))
        self.client = Client()
        self.client.force_login(self.ann)

    def test_whoever_acts_is_in_the_journal(self) -> None:
        with crm.adoption.acting(BOB):
            acme = Customer.objects.create(company_name="Acme")
        self.assertEqual(journal(acme), [("created", 1, "9")])

    def test_whoever_is_logged_in_writes_and_nobody_is_the_host(self) -> None:
        self.client.post("/enter", {"name": "By Ann"})
        Client().post("/enter", {"name": "By nobody"})
        by = {c.company_name: journal(c)[0][2] for c in Customer.objects.all()}
        self.assertEqual(by, {"By Ann": str(self.ann.pk), "By nobody": "system:host"})

    def test_who_is_not_logged_in_is_told_so_as_a_problem(self) -> None:
        answer = Client().get("/accounts/")
        self.assertEqual((answer.status_code, answer.json()["code"]), (403, "not_signed_in"))
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")

    def test_what_a_client_did_wrong_is_said_to_a_client(self) -> None:
        gone = self.client.get("/accounts/7")
        self.assertEqual((gone.status_code, "crm.adoption" in gone.content.decode()), (404, False))

    def test_what_the_admin_does_is_journalled_with_old_values_and_a_record_with_deals_is_protected(self) -> None:
        at = "/admin/django_shop/customer"
        form = {
            "company_name": "Acme",
            "rep": "",
            "number": "",
            "sort": "company",
            "country": "DE",
            "vat": "",
            "options": "[1]",
            "rating": "1",
        }
        self.assertEqual(self.client.post(f"{at}/add/", form).status_code, 302)
        acme = Customer.objects.get()
        tag = self.client.get(f"/accounts/{id_of(acme)}").headers["ETag"]
        self.assertEqual(self.client.post(f"{at}/{acme.pk}/change/", {**form, "company_name": "Acme Ltd"}).status_code, 302)
        me = str(self.ann.pk)
        self.assertEqual(journal(acme), [("created", 1, me), ("updated", 2, me)])
        self.assertEqual(self.client.get(f"/accounts/{id_of(acme)}", headers={"If-None-Match": tag}).status_code, 200)
        stale = self.client.patch(f"/accounts/{id_of(acme)}", {"name": "Stale"}, content_type="application/json", headers={"If-Match": tag})
        self.assertIn(stale.status_code, (409, 412))
        deal(acme)
        shown = self.client.get(f"{at}/{acme.pk}/delete/").content.decode()
        self.assertIn("<li>Deal Deal</li>", shown)
        self.assertNotIn("Are you sure", shown)
        with patch("tests.adoption.django_shop.urls.CustomerAdmin.get_deleted_objects", ModelAdmin.get_deleted_objects):
            answer = self.client.post(f"{at}/{acme.pk}/delete/", {"post": "yes"})
        self.assertEqual((answer.status_code, answer.json()["code"], Customer.objects.count()), (409, "protected", 1))


class Committed(TransactionTestCase):
    def test_without_a_block_the_row_and_its_journal_are_one_transaction(self) -> None:
        acme = Customer.objects.create(company_name="Acme")
        acme.company_name = "Acme Ltd"
        acme.save()
        self.assertEqual((kinds(acme), heard[-1]), (["created", "updated"], ("updated", {"name": ("Acme", "Acme Ltd")})))
        with self.assertRaises(IntegrityError):
            Customer.objects.create(company_name=None)
        with patch.object(crm.runtime.clock, "now", side_effect=ZeroDivisionError), self.assertRaises(ZeroDivisionError):
            Customer.objects.create(company_name="Never")
        self.assertEqual(Customer.objects.count(), 1)

    def test_a_test_that_committed_leaves_nothing_to_the_next(self) -> None:
        self.assert_empty_at_first()

    def test_and_the_next_leaves_nothing_either(self) -> None:
        self.assert_empty_at_first()

    def assert_empty_at_first(self) -> None:
        heard.clear()
        with crm.session(HOST) as s:
            self.assertEqual((s.query(Opportunity).count(), s.custom_fields.list(Account)), (0, []))
            s.custom_fields.add(Account, "tier", kind="integer")
        acme = Customer.objects.create(company_name="Acme")
        deal(acme)
        with crm.session(HOST) as s:
            s.update(Account, id_of(acme), {"custom.tier": 3})
            s.create(Opportunity(name="Second", account=Ref(Account, id_of(acme)), amount=Money("2", "EUR")))
        self.assertEqual(heard, [("created", "Acme"), ("updated", {"custom.tier": (None, 3)})])

    def test_flush_asks_first_and_empties_both(self) -> None:
        deal(Customer.objects.create(company_name="Acme"))
        with patch("builtins.input", return_value="no"):
            call_command("flush", stdout=StringIO())
        self.assertEqual(Customer.objects.count(), 1)
        call_command("flush", interactive=False, verbosity=0)
        with crm.session(HOST, write=False) as s:
            self.assertEqual((Customer.objects.count(), s.query(Opportunity).count()), (0, 0))
