"""What must not pass a lens does not, and says why in a typed error."""

from __future__ import annotations

import warnings

from crm_core.errors import CRMError
from crm_core.testing.databases import Database
from tests.permissions.lens_attacks import attacks
from tests.permissions.lens_world import KINDS, Company, actor

GUARDED = next(k for k in KINDS if k.hidden)


def test_every_attack_is_refused_with_its_error(database: Database) -> None:
    company = Company(database.engine())
    lens = company.lens(GUARDED)
    wrong: list[str] = []
    count = 0
    with company.engine.connect() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, build, expected in attacks(company):
            count += 1
            try:
                rows = lens.execute(connection, build(), actor("u1")).all()
                wrong.append(f"{name}: {len(rows)} rows")
            except CRMError as problem:
                if not isinstance(problem, expected):
                    wrong.append(f"{name}: {problem!r} {problem.params}")
            except Exception as problem:
                connection.rollback()
                wrong.append(f"{name}: {type(problem).__name__} {str(problem)[:200]}")
    print(f"{database.kind}: {count} attacks")
    assert not wrong, "\n".join(wrong)
