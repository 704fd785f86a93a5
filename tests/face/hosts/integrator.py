"""The smallest host around the integrator's connector: their ERP, a customer, a won deal, a lead in the pool."""

from datetime import timedelta
from pathlib import Path

from tests.face.hosts.erp import MAPPING, erp

Path("kingdee.toml").write_text(MAPPING, encoding="utf-8")

from programs import integrator  # type: ignore[import-not-found]  # noqa: E402  # it reads its mapping

from crm_core import Account, Actor, Money  # noqa: E402
from crm_erp_bridge.api import Sync  # noqa: E402
from crm_sales.api import Lead, Opportunity, Sales  # noqa: E402

crm, me = integrator.crm, integrator.me
crm.migrate()
for tenant, found in (("cn-head", {}), ("cn-east", {"customer.create": 1})):
    with Sync(crm, "kingdee", tenant=tenant) as sync:
        assert sync.pull() == found
        assert sync.ask("可用库存", {"product": "P-1"}, timeout=timedelta(seconds=2))["timeout"] == 2

with crm.session(Actor.system("shop", tenant="cn-east")) as s:
    account = s.query(Account).one()
    assert account.name == "华东贸易"
    s.use(Sales).win(s.create(Opportunity(name="100 seats", account=account.ref, amount=Money("1200", "CNY"))), reason="price")
    lead = s.create(Lead(name="Bolt", owner=None))
crm.run_pending()
with Sync(crm, "kingdee", tenant="cn-east") as sync:
    assert sync.push() == {"deal.pending": 1}
assert erp.saved == [("SAL_SaleOrder", "100 seats")]

assert integrator.claim(lead.id).owner == integrator.claim(lead.id).owner == "u1001"  # the second is the first one's answer
with crm.session(me) as s:
    shown = integrator.screen(s, s.get(Lead, lead.id))
    assert shown["form"]["label"] == "客户"
    assert shown["buttons"][:2] == [("领取线索", None), ("释放线索", "您无权执行此操作：sales.release sales.lead。")]
crm.close()
