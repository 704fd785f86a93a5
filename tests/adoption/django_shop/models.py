"""The shop's tables: customers, who are accounts, and what belongs to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from crm_core.ext.django import ObservedQuerySet


class Sort(models.TextChoices):
    COMPANY = "company"
    PERSON = "person"


class Customer(models.Model):
    company_name: Any = models.CharField(max_length=120)
    rep: Any = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    number: Any = models.CharField(max_length=20, null=True, blank=True, unique=True)
    sort: Any = models.CharField(max_length=10, choices=Sort.choices, default=Sort.COMPANY)
    country: Any = models.CharField(max_length=2, default="DE")
    vat: Any = models.CharField(max_length=20, blank=True)
    options: Any = models.JSONField(default=dict)
    rating: Any = models.DecimalField(max_digits=4, decimal_places=2, default="1.50")
    joined: Any = models.DateTimeField(auto_now_add=True)
    changed: Any = models.DateTimeField(auto_now=True)

    objects = ObservedQuerySet.as_manager()
    plain: Any = models.Manager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return str(self.company_name)


class Favourite(Customer):
    class Meta:
        proxy = True


class Wholesaler(Customer):
    discount: Any = models.IntegerField(default=0)


class Order(models.Model):
    customer: Any = models.ForeignKey(Customer, on_delete=models.CASCADE)


class Region(models.Model):
    name: Any = models.CharField(max_length=20)
    customers: Any = models.ManyToManyField(Customer)
