"""Django's ORM with django-auditlog, as its documentation says: ``full_clean`` and ``save``. Runs in the peers' environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from bench.data import ME, MY_TEAM, Row, deals, people
from bench.systems.base import Reading

PAGE = 50


def _configure(file: Path, synchronous: str) -> None:
    pragmas = f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA foreign_keys=1"
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "auditlog"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(file),
                "OPTIONS": {"init_command": pragmas, "transaction_mode": "IMMEDIATE"},
            }
        },
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


class DjangoORM:
    """See :class:`bench.systems.base.System`."""

    slow = frozenset({"audited"})

    def __init__(self, folder: Path, synchronous: str) -> None:
        _configure(folder / "django.db", synchronous)
        from auditlog.registry import auditlog
        from django.core.management import call_command
        from django.core.validators import MaxValueValidator, MinValueValidator
        from django.db import connection, models, transaction

        class Person(models.Model):
            first_name = models.CharField(max_length=60)
            last_name = models.CharField(max_length=60, db_index=True)
            email = models.CharField(max_length=255, db_index=True)
            phone = models.CharField(max_length=255, blank=True)
            city = models.CharField(max_length=255, blank=True)
            language = models.CharField(max_length=10, default="en")
            customer = models.BooleanField(default=False)
            rating = models.IntegerField(default=0, validators=[MinValueValidator(0), MaxValueValidator(100)])
            born = models.DateField(null=True)
            owner = models.CharField(max_length=255, null=True, db_index=True)
            note = models.TextField(blank=True)
            created_at = models.DateTimeField(auto_now_add=True)
            updated_at = models.DateTimeField(auto_now=True)

            class Meta:
                app_label = "contenttypes"

        class Deal(models.Model):
            name = models.CharField(max_length=255)
            owner = models.CharField(max_length=255, null=True)
            team = models.CharField(max_length=255, null=True)
            stage = models.CharField(max_length=20)
            amount = models.BigIntegerField()

            class Meta:
                app_label = "contenttypes"
                indexes = (
                    models.Index(fields=["owner", "stage", "amount"], name="deal_owner"),
                    models.Index(fields=["team", "stage", "amount"], name="deal_team"),
                    models.Index(fields=["stage", "amount"], name="deal_stage"),
                )

        call_command("migrate", verbosity=0)
        with connection.schema_editor() as editor:
            editor.create_model(Person)
            editor.create_model(Deal)
        auditlog.register(Person)
        self._connection, self._transaction, self._q = connection, transaction, models.Q
        self._person, self._deal = Person, Deal

    def fill(self, people_: int, deals_: int) -> None:
        """Fill without history, in batches."""
        with self._transaction.atomic():
            self._person.objects.bulk_create([self._person(**row) for row in people(people_)], batch_size=500)
            self._deal.objects.bulk_create([self._deal(**row) for row in deals(deals_)], batch_size=500)

    def ids(self, count: int) -> Sequence[Any]:
        """Return ids of people that the user sees."""
        return list(self._person.objects.filter(owner=ME).values_list("pk", flat=True)[:count])

    def create(self, row: Row) -> object:
        """Validate and save, with auditlog's entry."""
        with self._transaction.atomic():
            person = self._person(**row)
            person.full_clean()
            person.save()
        return person

    def bulk(self, rows: Sequence[Row]) -> dict[str, Callable[[], object]]:
        """The quick way has no history; the audited one is a loop."""
        return {"no history": lambda: self._bulk(rows), "audited": lambda: self._loop(rows)}

    def _bulk(self, rows: Sequence[Row]) -> None:
        with self._transaction.atomic():
            self._person.objects.bulk_create([self._person(**row) for row in rows], batch_size=500)

    def _loop(self, rows: Sequence[Row]) -> None:
        with self._transaction.atomic():
            for row in rows:
                person = self._person(**row)
                person.full_clean()
                person.save()

    def update(self, id: Any, city: str) -> object:
        """Get as the user, change, save, with auditlog's entry."""
        with self._transaction.atomic():
            person = self._person.objects.get(owner=ME, pk=id)
            person.city = city
            person.save()
        return person

    def readers(self) -> dict[str, Reading]:
        """Django holds its connection between requests."""
        return {"connection held": lambda id: self._person.objects.get(self._q(owner=ME), pk=id)}

    def rest(self) -> None:
        """Nothing is open."""

    def pages(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """By offset, as Django's paginator does."""
        deals_ = self._deal.objects
        mine = self._q(owner=ME) | self._q(team=MY_TEAM)
        return {
            "page 1": lambda: list(deals_.filter(mine, stage="talks").order_by("amount", "pk")[:PAGE]),
            "sees all": lambda: list(deals_.filter(stage="talks").order_by("amount", "pk")[:PAGE]),
            "sees all, deep": lambda: list(deals_.filter(stage="talks").order_by("amount", "pk")[15_000 : 15_000 + PAGE]),
        }

    def searches(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """LIKE."""
        found = self._person.objects
        part = self._q(last_name__icontains="naka77") | self._q(email__icontains="naka77")
        return {
            "prefix": lambda: list(found.filter(last_name__istartswith="Tanaka77")[:PAGE]),
            "substring": lambda: list(found.filter(part)[:PAGE]),
            "exact": lambda: list(found.filter(email="nobody@example.com")[:PAGE]),
        }

    def load(self) -> Sequence[Any]:
        """One query."""
        return list(self._person.objects.all())

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
