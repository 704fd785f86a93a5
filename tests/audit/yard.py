"""A small business whose records change all the time, and copies of what its users saw of them at some instants."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
from sqlalchemy import func, select

from crm_core import (
    CRM,
    Account,
    Actor,
    Contact,
    CRMError,
    Email,
    Entity,
    ExchangeRate,
    Extension,
    Field,
    FixedClock,
    ListField,
    Money,
    MoneyField,
    Plugin,
    Ref,
    Role,
    Session,
    User,
    field,
    owner,
    subordinates,
)  # fmt: skip
from crm_core.entities.fields import OptionalMoneyField
from crm_core.past import Past
from crm_core.rules import F, everything, related

plugin = Plugin("yard", version="1.0")


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Job(Entity):
    name: Field[str]
    owner: Field[str | None] = field(default=None)
    account: Field[Ref[Account] | None] = field(default=None)
    price: MoneyField
    bonus: OptionalMoneyField = field(default=None)
    share: Field[Decimal] = field(default=Decimal("0.5"), scale=3)
    size: Field[Size] = field(default=Size.SMALL)
    due: Field[date | None] = field(default=None)
    begun: Field[datetime | None] = field(default=None)
    open: Field[bool] = field(default=True)
    hours: Field[int] = field(default=0)
    facts: Field[dict[str, Any]] = field(factory=dict)
    mails: ListField[Email] = field(factory=list, pii=True)
    secret: Field[str | None] = field(default=None, pii=True)


plugin.entities(Job)


@plugin.extend(Account)
class Yard(Extension):
    grade: Field[str | None] = field(default=None)


class People:
    """u1 leads u2, who leads u3."""

    def users(self, tenant: str, ids: Sequence[str] | None = None) -> Iterable[User]:
        """Return the users of a tenant."""
        known = [User("u1", "Ann"), User("u2", "Bo", manager="u1"), User("u3", "Cy", manager="u2")]
        return [user for user in known if ids is None or user.id in ids]

    def actor(self, tenant: str, user_id: str) -> Actor | None:
        """Know nobody's roles."""
        return None


ROLES = [
    Role("all").allow(Job, "read", where=everything).allow(Account, "read").allow(Contact, "read").allow(ExchangeRate, "read"),
    Role("own")
    .allow(Job, "read", where=owner | subordinates, fields={"secret": "none"})
    .allow(Account, "read", where=F("name") != "Hidden"),
    Role("via").allow(Job, "read", where=related("account", F("industry") == "tea"), fields={"secret": "masked"}).allow(Account, "read"),
]
USERS = [Actor("u1", roles={"own"}), Actor("u2", roles={"own"}), Actor("u3", roles={"via"}), Actor("u9", roles={"all"})]
ADMIN = Actor.system("yard", tenant="main")
View = Session | Past


def seen(crm: CRM, view: View) -> dict[str, Any]:
    """Return what a user sees, through every kind of read: records, pages with filters, counts, sums, joins, lists, conversions."""
    found: dict[str, Any] = {}
    for entity in (Job, Account, Contact):
        found[entity.__name__] = crm.to_json(view.query(entity).order_by(entity.id).all()) if _may(view, entity) else None
    large = view.query(Job).where(Job.size == Size.LARGE, Job.hours >= 3).order_by(Job.due.desc(), Job.name)
    pages, after = [], None
    for _ in range(3):
        page = large.page(2, after=after)
        pages.append([j.id for j in page])
        after = page.next
        if after is None:
            break
    found["pages"] = pages
    found["count"] = view.query(Job).where(Job.open == True).count()  # noqa: E712  # an expression
    sums = select(Job.owner, Job.price.sum(), func.count(), func.max(Job.hours), func.sum(Job.share))
    found["sums"] = sorted(map(str, view.execute(sums.group_by(Job.owner, Job.price.currency)).all()))
    joined = select(Account.industry, func.count()).join_from(Job, Account, Job.account == Account.id).group_by(Account.industry)
    found["joined"] = sorted(map(str, view.execute(joined).all()))
    found["mails"] = sorted(view.query(Job).where(Job.mails.has("b@example.com")).ids())
    found["got"] = [j.id for j in view.get_many(Job, [j["id"] for j in (found["Job"] or [])])]
    try:
        found["euros"] = str(view.execute(select(func.sum(Job.price.to("EUR", at="today")))).all())
    except CRMError as e:
        found["euros"] = e.code
    return found


def _may(view: View, entity: type[Entity]) -> bool:
    try:
        view.query(entity).count()
    except CRMError:
        return False
    return True


@attrs.define
class Diary:
    """One run: random changes, and copies by instant and user."""

    crm: CRM
    clock: FixedClock
    rng: random.Random
    copies: list[tuple[datetime, Actor, dict[str, Any]]] = attrs.field(factory=list)

    def copy(self) -> None:
        """Keep what each user sees now."""
        for actor in USERS:
            with self.crm.session(actor, write=False) as s:
                self.copies.append((self.clock.now(), actor, seen(self.crm, s)))

    def step(self) -> None:
        """Do one thing at random, and let a moment pass."""
        self.clock.advance(timedelta(seconds=self.rng.randrange(1, 1000)))
        ways: Sequence[Callable[[Session], None]] = (
            self._create,
            self._update,
            self._update,
            self._delete,
            self._restore,
            self._account,
            self._rate,
        )
        with self.crm.session(ADMIN) as s:
            for way in self.rng.sample(ways, self.rng.randrange(1, 3)):
                way(s)

    def _create(self, s: Session) -> None:
        s.create_many(
            [Job(name=f"Job {self.rng.random():.5f}", price=self._money(), **self._values(s)) for _ in range(self.rng.randrange(1, 4))]
        )

    def _update(self, s: Session) -> None:
        for id_ in self._some(s, Job, 3):
            values = {**self._values(s), "price": self._money(), "name": f"Job {self.rng.random():.5f}"}
            s.update(Job, id_, {n: values[n] for n in self.rng.sample(sorted(values), 4)})

    def _delete(self, s: Session) -> None:
        for id_ in self._some(s, Job, 1):
            s.delete(Ref(Job, id_))

    def _restore(self, s: Session) -> None:
        table = self.crm.table(Job)
        with self.crm.bound.begin(write=False) as c:
            gone = sorted(c.execute(select(table.c.id).where(table.c.deleted_at.is_not(None))).scalars())
        for id_ in gone[:1]:
            s.restore(Job, id_)

    def _account(self, s: Session) -> None:
        known = self._some(s, Account, 1)
        values = {
            "industry": self.rng.choice(["tea", "toys", None]),
            "name": self.rng.choice(["Acme", "Hidden"]),
            "yard_grade": self.rng.choice("ab"),
        }
        if known and self.rng.random() < 0.6:
            s.update(Account, known[0], values)
        else:
            made = s.create(Account(name=str(values["name"])))
            s.create(Contact(name=f"P {self.rng.random():.4f}", account=made.ref, emails=[Email(f"p{self.rng.randrange(9)}@example.com")]))

    def _rate(self, s: Session) -> None:
        rates = s.query(ExchangeRate).where(ExchangeRate.base == "USD").all()
        rate = Decimal(self.rng.randrange(50, 150)) / 100
        if rates:
            s.update(ExchangeRate, rates[0].id, {"rate": rate})
        else:
            s.create(ExchangeRate(base="USD", quote="EUR", rate=rate, valid_from=date(2020, 1, 1)))

    def _some(self, s: Session, entity: type[Entity], count: int) -> list[str]:
        ids = s.query(entity).order_by(entity.id).ids()
        return self.rng.sample(ids, min(count, len(ids)))

    def _money(self) -> Money:
        return Money(Decimal(self.rng.randrange(1, 10**6)) / 100, self.rng.choice(["EUR", "USD"]))

    def _values(self, s: Session) -> dict[str, Any]:
        rng = self.rng
        accounts = self._some(s, Account, 1)
        return {
            "owner": rng.choice(["u1", "u2", "u3", "u9", None]),
            "account": Ref(Account, accounts[0]) if accounts and rng.random() < 0.8 else None,
            "bonus": rng.choice([None, self._money()]),
            "share": Decimal(rng.randrange(-1000, 1000)) / 1000,
            "size": rng.choice(list(Size)),
            "due": rng.choice([None, date(2026, rng.randrange(1, 13), 5)]),
            "begun": rng.choice([None, self.clock.now()]),
            "open": rng.random() < 0.5,
            "hours": rng.randrange(9),
            "facts": rng.choice([{}, {"a": [1, {"b": "ü'\""}], "n": None}, {"f": 0.1}]),
            "mails": rng.choice([[], [Email("a@example.com")], [Email("b@example.com", primary=True), Email("a@example.com")]]),
            "secret": rng.choice([None, "psst"]),
        }
