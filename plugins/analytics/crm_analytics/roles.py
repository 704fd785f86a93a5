"""The roles that the module brings. What a report counts is what its reader's other roles show."""

from __future__ import annotations

from crm_core import Account, Role

from .grades import AccountGrade, GradeChange
from .plugin import plugin

viewer = (
    Role("analytics.viewer", label="analytics.role.viewer").allow(Account, "read").allow(AccountGrade, "read").allow(GradeChange, "read")
)
analyst = (
    Role("analytics.analyst", label="analytics.role.analyst", extends=["analytics.viewer"])
    .allow(AccountGrade, "create", "update")
    .allow(GradeChange, "export")
    .permit("analytics.grade", "analytics.rebuild", "analytics.settings")
)
plugin.role(viewer)
plugin.role(analyst)
