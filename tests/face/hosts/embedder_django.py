"""The smallest host around the program in Django: settings, the table of its model, and requests."""

import json
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest import mock

import django
import django_stubs_ext
from django.conf import settings
from sqlalchemy import make_url

url = make_url(sys.argv[1])
place: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": url.database}
if url.get_backend_name() == "postgresql":
    place = {"ENGINE": "django.db.backends.postgresql", "NAME": url.database, "HOST": url.query["host"], "USER": "postgres"}
settings.configure(
    DATABASES={"default": place},
    INSTALLED_APPS=["crm_core.ext.django", "programs"],
    MIDDLEWARE=["crm_core.ext.django.Problems"],
    CRM="programs.embedder_django.crm",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()
django_stubs_ext.monkeypatch()  # typed fields take their types at run time, too

from django.core.management import call_command  # noqa: E402  # these take the settings
from django.db import connection, transaction  # noqa: E402
from django.test import RequestFactory, TestCase  # noqa: E402
from programs.embedder_django import Order, checkout, crm  # type: ignore[import-not-found]  # noqa: E402

from crm_core import Account, Actor  # noqa: E402

call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Order)
request: Any = RequestFactory().post("/checkout")
request.user = SimpleNamespace(pk=7)  # as Django's login leaves it

shop = Actor.system("shop", tenant="main")


def customers() -> list[Account]:
    with crm.session(shop, write=False) as s:
        found: list[Account] = s.query(Account).all()
        return found


with mock.patch.object(Order.objects, "create", side_effect=ZeroDivisionError), suppress(ZeroDivisionError):
    checkout(request)
assert customers() == []  # what fails after the CRM has written undoes it

bought = [json.loads(checkout(request).content)["account"] for _ in range(2)]
(customer,) = customers()
assert (customer.name, customer.external_ref, customer.owner) == ("Shop customer", "shop:77", "7")
assert bought == [customer.id] * 2 == [str(order.crm_account) for order in Order.objects.all()]

with transaction.atomic(), TestCase.captureOnCommitCallbacks(execute=True) as callbacks:
    with crm.session(shop) as s:
        s.delete(s.get(Account, customer.id))
    checkout(request)
assert (len(callbacks), len(customers()), Order.objects.count()) == (2, 1, 3)  # each session's wake of delivery
connection.close()
