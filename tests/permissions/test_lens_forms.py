"""Every form of select, as each kind of user, answers what it would answer on tables that hold only what that user may see."""

from __future__ import annotations

import warnings

import pytest

from crm_core.errors import CRMError
from crm_core.permissions.plans import Form
from crm_core.testing.databases import Database
from tests.permissions.lens_forms import read_forms
from tests.permissions.lens_world import KINDS, Company, Deal, Firm, Kind, actor

FORMS = [(kind, None) for kind in KINDS] + [(kind, form) for kind in (KINDS[2], KINDS[6]) for form in (Form.POINT, Form.WALK)]


@pytest.mark.parametrize(("kind", "form"), FORMS, ids=lambda p: p.name if p else "chosen")
def test_every_form_shows_exactly_what_the_user_may_see(database: Database, kind: Kind, form: Form | None) -> None:
    company = Company(database.engine())
    lens = company.lens(kind)
    wrong: list[str] = []
    count = 0
    with company.engine.connect() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = company.truth(connection, kind, kind.me, "one")
        for (name, statement), (_, truth) in zip(read_forms(Firm, Deal, database.kind), read_forms(*seen, database.kind), strict=True):
            want = [tuple(row) for row in connection.execute(truth)]
            try:
                got = [tuple(row) for row in lens.execute(connection, statement, actor(kind.me), form=form)]
            except CRMError as problem:
                wrong.append(f"{name}: {problem}")
                continue
            if not name.startswith("ordered"):
                want, got = sorted(want, key=repr), sorted(got, key=repr)
            count += 1
            if want != got:
                wrong.append(f"{name}: {len(got)} rows instead of {len(want)}")
    print(f"{database.kind}, {kind.name}, {form}: {count} forms")
    assert not wrong
