"""The shop over HTTP: two resources of the CRM and a view of its own."""

import json

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from crm_core import Account, Actor, Note
from crm_core.ext import django as crm_django

from .crm import crm
from .models import Order

STOCK = 100
USERS = {
    "ann": Actor(1, roles={"manager"}),
    "bob": Actor(2, roles={"seller"}),
    "cid": Actor(3, roles={"seller"}, locale="zh_CN"),
}


def actor(request: HttpRequest) -> Actor:
    """Tell who asks: with Django's own users ``Actor(request.user.pk, roles=...)``."""
    who = USERS.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
    if who is None:
        raise PermissionDenied
    return who


session = crm_django.install(crm, actor=actor)


class OutOfStock(Exception):
    pass


def orders(request: HttpRequest) -> JsonResponse:
    if request.method == "GET":
        return JsonResponse(list(Order.objects.order_by("pk").values("item", "quantity")), safe=False)
    body = json.loads(request.body)
    try:
        with transaction.atomic(), session(request) as s:
            account = s.get(Account, body["account"])  # 404 also where this user may not see it
            made = Order.objects.create(account=account.id, item=body["item"], quantity=body["quantity"])
            s.update(Account, account.id, {"industry": f"buys {made.item}"})
            if made.quantity > STOCK:
                raise OutOfStock
    except OutOfStock:
        return JsonResponse({"detail": "out of stock"}, status=422)
    return JsonResponse({"id": made.pk}, status=201)


urlpatterns = [
    path("accounts/", include(crm_django.urls(crm, Account, session=session, filters=["name", "owner"]))),
    path("notes/", include(crm_django.urls(crm, Note, session=session, expose=["list", "get"]))),
    path("orders", orders),
]
