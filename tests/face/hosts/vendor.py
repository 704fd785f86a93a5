"""The smallest host around the vendor's program: a CRM, a customer of each tier, a deal, an action."""

import sys
from decimal import Decimal

import pytest
from programs import vendor  # type: ignore[import-not-found]

import crm_sales
from crm_core import CRM, Account, Actor, Money, Refused
from crm_sales.api import LineDraft, Opportunity, Sales

shop, rep = Actor.system("shop", tenant="main"), Actor("7", roles={"sales.rep"})
crm = CRM(sys.argv[1], plugins=[crm_sales.plugin, vendor.plugin])
crm.migrate()


def quoted(account: Account, discount: str = "0") -> str:
    with crm.session(rep) as s:
        deal = s.create(Opportunity(name="100 seats", account=account.ref, amount=Money("12000", "EUR")))
        line = LineDraft(description="seat", price=Money("100", "EUR"), discount=Decimal(discount))
        return str(s.use(Sales).quote(deal, [line]).total)


with crm.session(shop) as s:
    golden = Account(name="Golden", owner="7")
    golden[vendor.Loyalty].tier = "gold"
    golden = s.create(golden)
    basic = s.create(Account(name="Basic", owner="7"))
    s.change_settings(vendor.Settings, {"points_per_unit": "0.05"})
assert (quoted(golden), quoted(basic), quoted(basic, "10")) == ("EUR 95.00", "EUR 100.00", "EUR 90.00")
with crm.session(rep) as s:
    assert [account.name for account in vendor.gold(s)] == ["Golden"]
    s.use(Sales).win(s.query(Opportunity).where(Opportunity.account == basic.ref).all()[0], reason="price")

crm.run_pending()
crm.run_pending()
with crm.session(shop) as s:
    s.perform(vendor.Redeem(basic.ref, 100))
    assert vendor.panel(s, basic) == {"tier": "basic", "balance": 500}
    s.change_settings(vendor.Settings, {"blocked_tiers": ["basic"]})
with pytest.raises(Refused) as refused:
    quoted(basic, "10")
assert [detail.code for detail in refused.value.details] == ["acme.loyalty.blocked"]
crm.jobs.run("acme.loyalty.expire", tenant="main")
crm.close()
