"""SQLAlchemy's ORM with SQLAlchemy-Continuum. Runs in the peers' environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Index, Integer, String, Text, create_engine, event, or_, select
from sqlalchemy.orm import DeclarativeBase, Session, configure_mappers, mapped_column
from sqlalchemy_continuum import make_versioned

from bench.data import ME, MY_TEAM, Row, deals, people
from bench.systems.base import Reading

PAGE = 50
make_versioned(user_cls=None)


class Base(DeclarativeBase):
    """The tables."""


def _now() -> datetime:
    return datetime.now(UTC)


class Person(Base):
    """A person with its versions."""

    __tablename__ = "person"
    __versioned__: dict[str, Any] = {}  # noqa: RUF012  # Continuum's way
    id = mapped_column(Integer, primary_key=True)
    first_name = mapped_column(String(60), nullable=False)
    last_name = mapped_column(String(60), nullable=False, index=True)
    email = mapped_column(String(255), nullable=False, index=True)
    phone = mapped_column(String(255), default="")
    city = mapped_column(String(255), default="")
    language = mapped_column(String(10), default="en")
    customer = mapped_column(Boolean, default=False)
    rating = mapped_column(Integer, default=0)
    born = mapped_column(Date)
    owner = mapped_column(String(255), index=True)
    note = mapped_column(Text, default="")
    created_at = mapped_column(DateTime, default=_now)
    updated_at = mapped_column(DateTime, default=_now, onupdate=_now)


class Deal(Base):
    """A deal, without versions."""

    __tablename__ = "deal"
    __table_args__ = (
        Index("deal_owner", "owner", "stage", "amount"),
        Index("deal_team", "team", "stage", "amount"),
        Index("deal_stage", "stage", "amount"),
    )
    id = mapped_column(Integer, primary_key=True)
    name = mapped_column(String(255))
    owner = mapped_column(String(255))
    team = mapped_column(String(255))
    stage = mapped_column(String(20))
    amount = mapped_column(BigInteger)


configure_mappers()


class SQLAlchemyORM:
    """See :class:`bench.systems.base.System`."""

    slow = frozenset({"audited"})

    def __init__(self, folder: Path, synchronous: str) -> None:
        self._engine = create_engine(f"sqlite:///{folder / 'sqlalchemy.db'}")

        @event.listens_for(self._engine, "connect")
        def _(dbapi: Any, _record: object) -> None:
            for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=1"):
                dbapi.execute(f"PRAGMA {pragma}")

        Base.metadata.create_all(self._engine)

    def fill(self, people_: int, deals_: int) -> None:
        """Fill without history, by Core."""
        with self._engine.begin() as connection:
            connection.execute(Person.__table__.insert(), [_typed(row) for row in people(people_)])
            connection.execute(Deal.__table__.insert(), list(deals(deals_)))

    def ids(self, count: int) -> Sequence[Any]:
        """Return ids of people that the user sees."""
        with Session(self._engine) as s:
            return list(s.scalars(select(Person.id).where(Person.owner == ME).limit(count)))

    def create(self, row: Row) -> object:
        """A unit of work with Continuum's version."""
        with Session(self._engine) as s, s.begin():
            person = Person(**_typed(row))
            s.add(person)
        return person

    def bulk(self, rows: Sequence[Row]) -> dict[str, Callable[[], object]]:
        """Core's insert has no history; Continuum's is the unit of work."""
        return {"no history": lambda: self._core(rows), "audited": lambda: self._unit(rows)}

    def _core(self, rows: Sequence[Row]) -> None:
        with self._engine.begin() as connection:
            connection.execute(Person.__table__.insert(), [_typed(row) for row in rows])

    def _unit(self, rows: Sequence[Row]) -> None:
        with Session(self._engine) as s, s.begin():
            s.add_all([Person(**_typed(row)) for row in rows])

    def update(self, id: Any, city: str) -> object:
        """Read as the user, change, commit with Continuum's version."""
        with Session(self._engine) as s, s.begin():
            person = s.scalars(select(Person).where(Person.id == id, Person.owner == ME)).one()
            person.city = city
        return person

    def readers(self) -> dict[str, Reading]:
        """A new session each, as a request has one."""

        def get(id: Any) -> Any:
            with Session(self._engine) as s:
                return s.get(Person, id)

        def chosen(id: Any) -> Any:
            with Session(self._engine) as s:
                return s.scalars(select(Person).where(Person.id == id, Person.owner == ME)).one()

        return {"session.get": get, "connecting": chosen}

    def rest(self) -> None:
        """Nothing is open."""

    def pages(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """By offset."""
        mine = or_(Deal.owner == ME, Deal.team == MY_TEAM)
        ordered = select(Deal).where(Deal.stage == "talks").order_by(Deal.amount, Deal.id)
        return {
            "page 1": lambda: self._all(ordered.where(mine).limit(PAGE)),
            "sees all": lambda: self._all(ordered.limit(PAGE)),
            "sees all, deep": lambda: self._all(ordered.limit(PAGE).offset(15_000)),
        }

    def _all(self, statement: Any) -> Sequence[Any]:
        with Session(self._engine) as s:
            return list(s.scalars(statement))

    def searches(self) -> dict[str, Callable[[], Sequence[Any]]]:
        """LIKE."""
        part = or_(Person.last_name.icontains("naka77"), Person.email.icontains("naka77"))
        return {
            "prefix": lambda: self._all(select(Person).where(Person.last_name.istartswith("Tanaka77")).limit(PAGE)),
            "substring": lambda: self._all(select(Person).where(part).limit(PAGE)),
            "exact": lambda: self._all(select(Person).where(Person.email == "nobody@example.com").limit(PAGE)),
        }

    def load(self) -> Sequence[Any]:
        """One query."""
        return self._all(select(Person))

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()


def _typed(row: Row) -> Row:
    return {**row, "born": date.fromisoformat(row["born"])}
