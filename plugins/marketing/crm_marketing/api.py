"""What other modules and hosts may import of the marketing module."""

from .actions import AskConsent, EnrolSegment, GiveConsent, RefreshSegment, SendCampaign, WithdrawConsent
from .attribution import AttributionModel, credits
from .behaviour import Behaviour
from .campaigns import Campaign, CampaignCost, CampaignKind, CampaignStatus
from .consent import Consent, ConsentGiven, ConsentWithdrawn, SendAnswer
from .figures import Figures
from .members import CampaignMember, MemberStatus
from .membership import Overlap, Refreshed
from .people import Task, audience, same_people
from .revenue import Attribution, Credit, Roi, Won, won_revenue
from .segments import Segment, SegmentEntered, SegmentKind, SegmentLeft, SegmentMember
from .sending import Sending
from .service import Marketing
from .settings import Settings
from .touches import Touch

__all__ = [
    "AskConsent",
    "Attribution",
    "AttributionModel",
    "Behaviour",
    "Campaign",
    "CampaignCost",
    "CampaignKind",
    "CampaignMember",
    "CampaignStatus",
    "Consent",
    "ConsentGiven",
    "ConsentWithdrawn",
    "Credit",
    "EnrolSegment",
    "Figures",
    "GiveConsent",
    "Marketing",
    "MemberStatus",
    "Overlap",
    "RefreshSegment",
    "Refreshed",
    "Roi",
    "Segment",
    "SegmentEntered",
    "SegmentKind",
    "SegmentLeft",
    "SegmentMember",
    "SendAnswer",
    "SendCampaign",
    "Sending",
    "Settings",
    "Task",
    "Touch",
    "WithdrawConsent",
    "Won",
    "audience",
    "credits",
    "same_people",
    "won_revenue",
]
