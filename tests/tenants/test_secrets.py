"""The secrets of a tenant: read where their references say, and said nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_core import Actor, Denied, Invalid, Role, Secret, Unavailable
from tests.tenants.world import Open, Settings, World, system


def test_a_secret_is_read_where_its_reference_says(open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", "from the environment")
    (tmp_path / "token").write_text("from a file\n")
    w = open_world(secrets=lambda reference, tenant: f"{reference} of {tenant}" if "nothing" not in reference else None)
    wanted = {
        "env:ACME_TOKEN": "from the environment", f"file:{tmp_path / 'token'}": "from a file", "vault:a/b": "vault:a/b of acme",
    }  # fmt: skip
    with w.crm.session(system("acme")) as s:
        for reference, value in wanted.items():
            found = s.change_settings(Settings, {"token": {"secret": reference}}).token
            assert found is not None
            assert s.secret(found) == value
        for missing in ("env:NOBODY", "file:/nowhere", "vault:nothing"):
            with pytest.raises(Unavailable, match=missing):
                s.secret(Secret(missing))


def test_a_secret_given_as_it_is_is_refused_and_said_nowhere(w: World) -> None:
    with w.crm.session(system("acme")) as s, pytest.raises(Invalid) as plain:
        s.change_settings(Settings, {"doors": [{"url": "https://x", "token": "hunter2"}]})
    assert [(d.field, d.code) for d in plain.value.details] == [("doors[0].token", "secret_by_reference")]
    assert "hunter2" not in f"{plain.value} {plain.value.problem()}"
    for wrong in ("hunter2", "Hunter:2", "env:", ":x", "a" * 300, 7):
        with pytest.raises(Invalid) as refused:
            Secret(wrong)  # type: ignore[arg-type]  # it may come from outside
        assert "hunter2" not in str(refused.value)


def test_the_value_of_a_secret_is_in_no_row_of_the_database(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", "hunter2-canary")
    w = open_world()
    with w.crm.session(system("acme")) as s:
        token = s.change_settings(Settings, {"token": {"secret": "env:ACME_TOKEN"}}).token
        assert token is not None
        assert s.secret(token) == "hunter2-canary"
        assert "hunter2" not in repr(s.settings(Settings))
    everything = ""
    with w.crm.bound.begin(write=False) as connection:
        for table in (w.crm.tables.system.journal, w.crm.tables.system.setting):
            everything += repr(connection.execute(table.select()).all())
    assert "env:ACME_TOKEN" in everything
    assert "hunter2" not in everything


def test_only_the_host_points_at_its_own_variables_and_files(open_world: Open) -> None:
    keeper = Role("keeper").permit("maps.settings")
    w = open_world(roles=[keeper], secrets=lambda reference, tenant: "known")
    with w.crm.session(Actor("7", tenant="acme", roles={"keeper"})) as s:
        for reference in ("env:PATH", "file:/etc/passwd"):
            with pytest.raises(Denied) as refused:
                s.change_settings(Settings, {"doors": [{"url": "https://mine", "token": {"secret": reference}}]})
            assert refused.value.code == "secret_of_the_host"
        s.change_settings(Settings, {"token": {"secret": "vault:mine"}})
