"""Where root keys are [C72]: a file, an environment variable, or a class of the host's that keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_core import EnvironmentKeys, FileKeys, KeyProvider, LoadError, Refused, Unreadable
from crm_core.testing.keys import check_key_provider

CONTEXT = b"tenant main"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crm.keys"


def test_a_key_file_keeps_the_contract(path: Path) -> None:
    FileKeys.create(path)
    check_key_provider(lambda: FileKeys(path))


def test_an_environment_variable_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_KEY", EnvironmentKeys.new())
    check_key_provider(lambda: EnvironmentKeys("CRM_KEY"), rotates=False)
    assert isinstance(EnvironmentKeys("CRM_KEY"), KeyProvider)


def test_the_contract_names_the_rule_that_a_provider_breaks() -> None:
    class Careless:
        def wrap(self, key: bytes, context: bytes) -> bytes:
            return key[::-1]

        def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
            return wrapped[::-1]

        def rotate(self) -> None: ...

        def describe(self) -> dict[str, str]:
            return {"kind": "none", "current": "1"}

    with pytest.raises(AssertionError, match="deterministic"):
        check_key_provider(Careless)


def test_a_key_file_is_readable_for_its_owner_alone(path: Path) -> None:
    FileKeys.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    FileKeys(path).rotate()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(LoadError) as e:
        FileKeys(path)
    assert e.value.code == "key_file_open"


def test_a_key_file_is_never_made_or_replaced_by_accident(path: Path) -> None:
    with pytest.raises(LoadError) as missing:
        FileKeys(path)
    assert missing.value.code == "key_file_missing"
    FileKeys.create(path)
    with pytest.raises(LoadError) as there:
        FileKeys.create(path)
    assert there.value.code == "key_file_exists"


def test_another_process_sees_the_key_that_was_added_to_the_file(path: Path) -> None:
    FileKeys.create(path)
    one, other = FileKeys(path), FileKeys(path)
    one.rotate()
    assert other.unwrap(one.wrap(b"k" * 32, CONTEXT), CONTEXT) == b"k" * 32


def test_a_new_key_in_front_of_the_variable_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = EnvironmentKeys.new(), EnvironmentKeys.new()
    monkeypatch.setenv("CRM_KEY", old)
    wrapped = EnvironmentKeys("CRM_KEY").wrap(b"k" * 32, CONTEXT)
    monkeypatch.setenv("CRM_KEY", f"{new},{old}")
    keys = EnvironmentKeys("CRM_KEY")
    assert keys.unwrap(wrapped, CONTEXT) == b"k" * 32
    with pytest.raises(Refused) as e:
        keys.rotate()
    assert e.value.code == "keys_fixed"
    monkeypatch.setenv("CRM_KEY", new)
    with pytest.raises(Unreadable) as gone:
        EnvironmentKeys("CRM_KEY").unwrap(wrapped, CONTEXT)
    assert gone.value.code == "key_missing"


@pytest.mark.parametrize("value", ["", "c2hvcnQ=", "not base64!", "QUJD,"])
def test_a_wrong_key_is_a_load_error_that_does_not_quote_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """[A29]"""
    monkeypatch.setenv("CRM_KEY", value)
    with pytest.raises(LoadError) as e:
        EnvironmentKeys("CRM_KEY")
    seen: Any = e.value
    assert e.value.code == ("bad_root_key" if value else "key_variable_missing")
    assert not value or value not in str(seen)
    assert seen.__cause__ is None


def test_no_provider_shows_its_keys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[A29]"""
    secret = EnvironmentKeys.new()
    monkeypatch.setenv("CRM_KEY", secret)
    FileKeys.create(path)
    for provider, text in ((EnvironmentKeys("CRM_KEY"), secret), (FileKeys(path), path.read_text().strip())):
        assert text not in repr(provider)
        assert text not in str(provider.describe())
        assert text not in repr(vars(provider))
