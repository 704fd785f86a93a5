"""Tests as Django people write them: nothing is ever committed, and subscribers run all the same."""

from django.db import transaction
from django.test import TestCase, TransactionTestCase

from crm_core import Account, Actor, Note
from crm_core.ext import django as crm_django

from .crm import crm
from .models import Order

BOB = Actor(2, roles={"seller"})


def notes() -> list[str]:
    with crm_django.session(crm, BOB, write=False) as s:
        return [note.body for note in s.query(Note).all()]


class ShopTests(TestCase):
    def test_subscribers_run_when_the_commit_is_played(self) -> None:
        with self.captureOnCommitCallbacks(execute=True), crm_django.session(crm, BOB) as s:
            s.create(Account(name="Acme"))
        self.assertEqual(notes(), ["Send a welcome to Acme"])

    def test_each_test_begins_with_an_empty_crm(self) -> None:
        self.assertEqual(notes(), [])

    def test_what_an_atomic_undoes_is_undone_in_the_crm(self) -> None:
        with self.assertRaises(ZeroDivisionError), transaction.atomic(), crm_django.session(crm, BOB) as s:
            Order.objects.create(account=s.create(Account(name="Acme")).id, item="seats", quantity=1 // 0)
        with crm_django.session(crm, BOB) as s:
            self.assertEqual(s.query(Account).count(), 0)

    def test_a_checkout_finds_its_customer_again(self) -> None:
        for item in ("seats", "tables"):
            with transaction.atomic():
                with crm_django.session(crm, BOB) as s:
                    account = s.upsert(Account(name="Shop customer", external_ref="shop:77"), on="external_ref")
                Order.objects.create(account=account.id, item=item, quantity=1)
        self.assertEqual({str(order.account) for order in Order.objects.all()}, {account.id})

    def test_an_inner_atomic_is_a_savepoint_of_both(self) -> None:
        with crm_django.session(crm, BOB) as s:
            kept = s.create(Account(name="Kept"))
            Order.objects.create(account=kept.id, item="seats", quantity=1)
            with self.assertRaises(ZeroDivisionError), transaction.atomic():
                lost = s.create(Account(name="Lost"))
                Order.objects.create(account=lost.id, item="seats", quantity=1 // 0)
        with crm_django.session(crm, BOB) as s:
            self.assertEqual([account.name for account in s.query(Account).all()], ["Kept"])
        self.assertEqual(Order.objects.count(), 1)


class CommittingTests(TransactionTestCase):
    def test_subscribers_run_after_a_real_commit(self) -> None:
        with transaction.atomic():
            with crm_django.session(crm, BOB) as s:
                account = s.create(Account(name="Acme"))
            self.assertEqual(notes(), [])
        self.assertEqual(notes(), ["Send a welcome to Acme"])
        with crm_django.session(crm, Actor.system("cleaning", tenant="main")) as s:
            s.delete(account)
