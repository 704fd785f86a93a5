"""What Django's page says of users, groups and managers does that, as it stands there, on both databases."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from crm_core.testing.databases import Database
from tests.web.hosts import ROOT, environment

SHOP = ROOT / "examples" / "django_shop"
PAGE = (ROOT / "docs" / "how-to" / "django.md").read_text(encoding="utf-8")
BLOCK = re.search(r"## Users, groups, managers.*?```py\n(.*?)```", PAGE, re.DOTALL)
FILES = {
    "conf.py": """
from shop.settings import *
INSTALLED_APPS = ["crm_core.ext.django", "django.contrib.auth", "django.contrib.contenttypes", "people"]
CRM = "people.crm.crm"
ROOT_URLCONF = "people"
""",
    "people/__init__.py": "urlpatterns = []",
    "people/models.py": """
from django.conf import settings
from django.db import models

class Profile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    tenant = models.CharField(max_length=60)
    manager = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
""",
    "people/tests.py": """
from types import SimpleNamespace
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import PermissionDenied
from django.test import TestCase
from crm_core import Account
from people.crm import Directory, actor, actor_of, crm
from people.models import Profile

def seen(user):
    with crm.session(actor_of(user), write=False) as s:
        return sorted(a.name for a in s.query(Account).all())

class UsersTests(TestCase):
    def setUp(self):
        for name in ("staff", "team:north"):
            Group.objects.create(name=name)
        self.users = {}
        for name, tenant, manager, groups in (
            ("ann", "acme", None, ["staff"]), ("bob", "acme", "ann", ["staff", "team:north"]),
            ("eve", "acme", None, ["staff", "team:north"]), ("cid", "other", None, ["staff", "team:north"]),
        ):
            user = self.users[name] = User.objects.create_user(name, first_name=name.title())
            user.groups.set(Group.objects.filter(name__in=groups))
            Profile.objects.create(user=user, tenant=tenant, manager=self.users.get(manager))
        for name in ("ann", "bob", "cid"):
            with crm.session(actor_of(self.users[name])) as s:
                s.create(Account(name=name))

    def test_superiors_and_teams_of_the_same_tenant_see_it(self):
        self.assertEqual({n: seen(u) for n, u in self.users.items()},
            {"ann": ["ann", "bob"], "bob": ["bob"], "eve": ["bob"], "cid": ["cid"]})

    def test_who_is_gone_is_nobodys_actor(self):
        bob = self.users["bob"]
        self.assertEqual(Directory().actor("acme", str(bob.pk)).roles, {"staff"})
        self.assertIsNone(Directory().actor("other", str(bob.pk)))
        bob.is_active = False
        bob.save()
        self.assertIsNone(Directory().actor("acme", str(bob.pk)))
        self.assertEqual([(u.name, u.active) for u in Directory().users("acme", [str(bob.pk)])], [("Bob", False)])

    def test_who_is_not_signed_in_has_no_actor(self):
        with self.assertRaises(PermissionDenied):
            actor(SimpleNamespace(user=AnonymousUser()))
        self.assertEqual(actor(SimpleNamespace(user=self.users["ann"])).tenant, "acme")
""",
}


def test_users_groups_and_managers_are_as_the_page_has_them(database: Database, tmp_path: Path) -> None:
    assert BLOCK
    roles = 'from crm_core import Account, Role, owner, subordinates, team\nstaff = Role("staff")'
    roles += '.allow(Account, "read", "create", where=owner | subordinates | team)\n'
    for name, content in {**FILES, "people/crm.py": roles + BLOCK[1]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    found = environment("django", database)
    variables = {**found, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(SHOP), found["PYTHONPATH"]])}
    for command in (["makemigrations", "people"], ["test", "people"]):
        python = [sys.executable, "-m", "django", *command, "--settings", "conf"]
        done = subprocess.run(python, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
    assert "Ran 3 tests" in done.stderr
