"""The admin, the CRM's accounts over HTTP, and a view that writes by the ORM."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from crm_core import Account
from crm_core.ext import django as crm_django

from .crm import actor, crm
from .models import Customer

admin.site.register(Customer)
session = crm_django.install(crm, actor=actor)


def enter(request: HttpRequest) -> HttpResponse:
    Customer.objects.create(company_name=request.POST["name"])
    return HttpResponse(status=201)


urlpatterns = [
    path("admin/", admin.site.urls),
    path("enter", enter),
    path("accounts/", include(crm_django.urls(crm, Account, session=session, filters=["name"]))),
]
