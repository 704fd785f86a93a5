"""CRMs with keys, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_core import Actor, FileKeys
from tests.keys.clinic import CLERK, CLINIC, DOCTOR


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FileKeys:
    return FileKeys.create(tmp_path_factory.mktemp("keys") / "crm.keys")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    FileKeys.create(tmp_path / "crm.keys")
    return tmp_path / "crm.keys"


@pytest.fixture
def crm(make_crm: Callable[..., Any], keys: FileKeys) -> Any:
    return make_crm(plugins=[CLINIC], roles=[DOCTOR, CLERK], keys=keys)


@pytest.fixture
def admin() -> Actor:
    return Actor.system("tests", tenant="main")


@pytest.fixture
def s(crm: Any, admin: Actor) -> Iterator[Any]:
    with crm.session(admin) as session:
        yield session
