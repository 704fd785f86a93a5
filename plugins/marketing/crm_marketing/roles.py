"""The roles that the module brings."""

from __future__ import annotations

from crm_core import Account, Contact, Role

from .campaigns import Campaign, CampaignCost
from .consent import Consent
from .members import CampaignMember
from .plugin import plugin
from .segments import Segment, SegmentMember
from .touches import Touch

member = (
    Role("marketing.member", label="marketing.role.member")
    .allow(Account, "read")
    .allow(Contact, "read", "create", "update")
    .allow(Campaign, "read")
    .allow(CampaignCost, "read")
    .allow(CampaignMember, "read", "create", "update")
    .allow(Consent, "read", "create", "update")
    .allow(Segment, "read")
    .allow(SegmentMember, "read")
    .allow(Touch, "read", "create")
    .permit("marketing.work")
)
manager = (
    Role("marketing.manager", label="marketing.role.manager", extends=["marketing.member"])
    .allow(Campaign, "create", "update", "delete", "assign", "export")
    .allow(CampaignCost, "create", "update", "delete", "export")
    .allow(CampaignMember, "delete", "export")
    .allow(Consent, "export")
    .allow(Segment, "create", "update", "delete", "assign", "export")
    .allow(Touch, "export")
    .permit("marketing.run", "marketing.settings")
)
plugin.role(member)
plugin.role(manager)
