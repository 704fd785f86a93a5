"""The document of a host's resources (OpenAPI 3.1): the same in each framework, from the entities, and well formed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

import crm_sales
from crm_core import CRM, Account, Entity
from crm_core.ext import fastapi as crm_fastapi
from crm_core.ext import flask as crm_flask
from crm_core.ext.resource import VERBS
from crm_sales.api import Opportunity
from tests.web.openapi_form import faults

ENTITIES: Mapping[str, type[Entity]] = {"accounts": Account, "deals": Opportunity}


@pytest.fixture(scope="module")
def crm() -> Iterator[CRM]:
    crm = CRM("sqlite://", plugins=[crm_sales.plugin])
    yield crm
    crm.close()


def in_fastapi(crm: CRM) -> dict[str, Any]:
    app = FastAPI(title="Shop", version="1")
    for name, entity in ENTITIES.items():
        app.include_router(crm_fastapi.router(crm, entity, session=lambda: None, filters=["name"]), prefix=f"/{name}")
    return app.openapi()


def in_flask(crm: CRM, prefix: str = "", **options: Any) -> dict[str, Any]:
    app = Flask("shop")
    for name, entity in ENTITIES.items():
        routes = crm_flask.blueprint(crm, entity, session=lambda: nullcontext(None), filters=["name"])  # type: ignore[arg-type]
        app.register_blueprint(routes, url_prefix=f"{prefix}/{name}")
    return crm_flask.openapi(app, title="Shop", **options)


def told(document: Mapping[str, Any]) -> Mapping[tuple[str, str], Any]:
    """Return of each operation what we tell of it."""
    names = ("operationId", "parameters", "requestBody", "responses", "tags", "summary")
    operations = {(path, m): o for path, item in document["paths"].items() for m, o in item.items()}
    return {place: {name: o.get(name) for name in names} for place, o in operations.items()}


def test_the_document_is_well_formed_and_the_same_in_fastapi_and_flask(crm: CRM) -> None:
    fastapi, flask = in_fastapi(crm), in_flask(crm)
    assert faults(fastapi) == faults(flask) == []
    assert told(fastapi) == told(flask)
    assert len(told(flask)) == len(ENTITIES) * len(VERBS)


def test_what_a_hosts_own_path_takes_is_a_parameter_too(crm: CRM) -> None:
    document = in_flask(crm, "/shops/<int:shop>")
    assert faults(document) == []
    one = document["paths"]["/shops/{shop}/deals/{id}"]["get"]
    assert [p["name"] for p in one["parameters"] if p["in"] == "path"] == ["shop", "id"]


def test_labels_are_in_the_language_that_is_asked_for(crm: CRM) -> None:
    post = in_flask(crm, locale="zh_CN")["paths"]["/accounts"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["properties"]["name"]["title"] == "名称"


def test_the_check_of_the_form_finds_what_is_wrong(crm: CRM) -> None:
    good = in_flask(crm)
    broken = [copy.deepcopy(good) for _ in range(4)]
    broken[0]["paths"]["/deals/{id}"]["get"]["parameters"].pop(0)
    broken[1]["paths"]["/deals"]["post"]["operationId"] = "list_account"
    broken[2]["paths"]["/deals"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["name"]["type"] = "text"
    broken[3]["paths"]["/deals"]["get"]["responses"]["200"]["description"] = None
    assert all(faults(document) for document in broken)
