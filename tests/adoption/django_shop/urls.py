"""The admin, the CRM's accounts over HTTP, and a view that writes by the ORM."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from crm_core import Account, Actor, Ref
from crm_core.ext import django as crm_django
from crm_sales.api import Opportunity

from .crm import actor, crm
from .models import Customer


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic when it runs
    """What a customer's page says before it is deleted: deals keep it."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        with crm.session(Actor.system("admin", tenant="main"), write=False) as s:
            for customer in objs:
                account = Ref(Account, crm.adoption.id(Account, customer.pk))
                protected += [f"Deal {deal.name}" for deal in s.query(Opportunity).where(Opportunity.account == account).all()]
        return found, counts, lacking, protected


session = crm_django.install(crm, actor=actor)


def enter(request: HttpRequest) -> HttpResponse:
    Customer.objects.create(company_name=request.POST["name"])
    return HttpResponse(status=201)


urlpatterns = [
    path("admin/", admin.site.urls),
    path("enter", enter),
    path("accounts/", include(crm_django.urls(crm, Account, session=session, filters=["name"]))),
]
