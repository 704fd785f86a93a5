"""Ways to change a journal behind its back, clumsy and clever ones, each with what a verification has to say of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from crm_core import CRM
from crm_core.audit.canonical import columns, personal_digest, row_digest, row_of, seal_hash
from crm_core.audit.chain import START, journal_by_position
from crm_core.permissions.prepared import driver_rows

FAKE = "0192a000-0000-7000-8000-00000000000f"
# Values that a row never has: every one is a change.
OTHER: Mapping[str, Any] = {
    "actor": "nobody", "on_behalf_of": "nobody", "plugin": "other", "reason": "another", "request": "r-0", "entity": "other",
    "record": FAKE, "version": 99, "kind": "core.other.v1", "format": 2, "tenant": "third", "payload": {"id": FAKE},
}  # fmt: skip


@attrs.frozen
class Tampering:
    """What was done.

    Attributes:
        name: the way.
        faults: what the verification may call it.
        number: the first bad row of the tenant's chain, where it must be named exactly.
        outside: only what is kept outside can tell.
    """

    name: str
    faults: frozenset[str]
    tenant: str
    number: int | None = None
    outside: bool = False


@attrs.frozen
class Place:
    """A sealed row: its position, its id, and where it is in its tenant's chain."""

    position: int
    id: int
    tenant: str
    number: int
    personal: bool


class Desk:
    """Where somebody sits who can write the whole database, but has neither the key nor the sink."""

    def __init__(self, crm: CRM, rng: random.Random) -> None:
        self.crm = crm
        self.rng = rng
        s = crm.tables.system
        self.journal, self.positions, self.seal, self.checkpoint = s.journal, s.journal_position, s.seal, s.checkpoint
        self.tables = [self.journal, self.seal, self.checkpoint, *([] if crm.bound.kind == "sqlite" else [self.positions])]

    # -- keeping and bringing back ------------------------------------------------------------------------------------------------

    def copy(self) -> list[list[tuple[Any, ...]]]:
        """Return all rows of the tables, as the driver gives them."""
        with self.crm.bound.begin(write=False) as c:
            return [[tuple(r) for r in driver_rows(c.execute(sa.select(*self._raw(t))))] for t in self.tables]

    def put_back(self, copy: list[list[tuple[Any, ...]]]) -> None:
        """Make the tables what they were."""
        with self.crm.bound.begin() as connection:
            quote = connection.dialect.identifier_preparer.format_table
            for table, rows in zip(self.tables, copy, strict=True):
                connection.execute(table.delete())
                raw = connection.connection.cursor()
                names = ", ".join(c.name for c in table.c)
                mark = "?" if connection.dialect.name == "sqlite" else "%s"
                kinds = {"payload": "jsonb", "personal": "jsonb", "xid": "xid8"} if mark == "%s" and table is self.journal else {}
                marks = ", ".join(f"CAST({mark} AS {kinds[c.name]})" if c.name in kinds else mark for c in table.c)
                over = " OVERRIDING SYSTEM VALUE" if mark == "%s" and table is self.journal else ""
                if rows:
                    raw.executemany(f"INSERT INTO {quote(table)} ({names}){over} VALUES ({marks})", rows)
                raw.close()

    def _raw(self, table: sa.Table) -> list[Any]:
        return [sa.cast(c, sa.Text()) if table is self.journal and c.name in ("payload", "personal", "xid") else c for c in table.c]

    def places(self) -> list[Place]:
        """Return all sealed rows."""
        source, position = journal_by_position(self.crm.tables, self.crm.bound.kind)
        wanted = sa.select(position, self.journal.c.id, self.seal.c.tenant, self.seal.c.number, self.seal.c.personal.is_not(None))
        with self.crm.bound.begin(write=False) as c:
            return [Place(*row) for row in c.execute(wanted.select_from(source.join(self.seal, self.seal.c.position == position)))]

    # -- small moves --------------------------------------------------------------------------------------------------------------

    def run(self, *statements: Any) -> None:
        """Run statements as a transaction."""
        with self.crm.bound.begin() as c:
            for statement in statements:
                assert c.execute(statement).rowcount != 0, str(statement)

    def change(self, place: Place, values: Mapping[str, Any]) -> None:
        """Change a row of the journal."""
        self.run(self.journal.update().where(self.journal.c.id == place.id).values(**values))

    def drop_row(self, place: Place) -> list[Any]:
        """Return what takes a row out of the journal."""
        gone = [self.journal.delete().where(self.journal.c.id == place.id)]
        return gone if self.crm.bound.kind == "sqlite" else [self.positions.delete().where(self.positions.c.journal_id == place.id), *gone]

    def drop_seal(self, place: Place) -> Any:
        """Return what takes a seal out of the chain."""
        return self.seal.delete().where(self.seal.c.tenant == place.tenant, self.seal.c.number == place.number)

    def reseal(self, tenant: str) -> None:
        """Make a tenant's chain anew so that every link fits, as anybody who has read our source can."""
        source, position = journal_by_position(self.crm.tables, self.crm.bound.kind)
        with self.crm.bound.begin() as c:
            wanted = sa.select(position, *columns(self.journal)).select_from(source).where(self.journal.c.tenant == tenant)
            # Not what is new: a pass will seal it.
            upto = c.execute(sa.select(sa.func.max(self.seal.c.position))).scalar()
            rows = driver_rows(c.execute(wanted.where(position <= upto).order_by(position)))
            c.execute(self.seal.delete().where(self.seal.c.tenant == tenant))
            previous, made = START, []
            for number, (at, *given) in enumerate(rows, 1):
                row = row_of(given)
                personal = personal_digest(row)
                previous = seal_hash(previous, tenant, number, row_digest(row), personal)
                made.append({"tenant": tenant, "number": number, "position": at, "personal": personal, "hash": previous})
            if made:
                c.execute(self.seal.insert(), made)


# -- the ways -------------------------------------------------------------------------------------------------------------------------

Way = Callable[[Desk, Sequence[Place]], Tampering]
_CHANGED = frozenset({"changed"})


def edit(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Change one column of one row."""
    place, name = desk.rng.choice(places), desk.rng.choice(sorted(OTHER))
    desk.change(place, {name: OTHER[name]})
    return Tampering(f"edit {name}", _CHANGED, place.tenant, place.number)


def edit_instant(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Move a row by a microsecond in time."""
    place = desk.rng.choice(places)
    with desk.crm.bound.begin(write=False) as c:
        at = c.execute(sa.select(desk.journal.c.at).where(desk.journal.c.id == place.id)).scalar_one()
    desk.change(place, {"at": at.replace(microsecond=at.microsecond ^ 1)})
    return Tampering("edit at", _CHANGED, place.tenant, place.number)


def edit_personal(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Change the personal part of a row, add one, or say that it is under another key."""
    place = desk.rng.choice(places)
    values = {"key_id": "k"} if place.personal and desk.rng.random() < 0.5 else {"personal": {"new": {"name": "Somebody Else"}}}
    desk.change(place, values)
    return Tampering("edit personal", _CHANGED, place.tenant, place.number)


def hide_personal(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Take the personal part of a row out, as if it had been erased."""
    place = desk.rng.choice([p for p in places if p.personal])
    desk.change(place, {"personal": None})
    return Tampering("hide personal", frozenset({"personal_gone"}), place.tenant, place.number)


def edit_inside(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Change one value inside the payload; on SQLite also by a second value of the same name."""
    place = desk.rng.choice(places)
    with desk.crm.bound.begin() as c:
        payload = c.execute(sa.select(desk.journal.c.payload).where(desk.journal.c.id == place.id)).scalar_one()
        text = json.dumps({**payload, "new": {"industry": "arms"}})
        if desk.crm.bound.kind == "sqlite" and desk.rng.random() < 0.5:
            text = '{"new": {"industry": "arms"}, ' + json.dumps(payload)[1:]
            text = text if "new" in payload else '{"id": "x", ' + json.dumps(payload)[1:]
        stored = sa.literal(text, sa.Text())
        value = stored if desk.crm.bound.kind == "sqlite" else sa.cast(stored, sa.dialects.postgresql.JSONB())
        c.execute(desk.journal.update().where(desk.journal.c.id == place.id).values(payload=sa.type_coerce(value, sa.Text())))
    return Tampering("edit inside", _CHANGED, place.tenant, place.number)


def edit_seal(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Change a seal."""
    place = desk.rng.choice(places)
    mine = (desk.seal.c.tenant == place.tenant, desk.seal.c.number == place.number)
    name = desk.rng.choice(["hash", "personal"])
    desk.run(desk.seal.update().where(*mine).values(**{name: "0" * 64}))
    # A row without a personal part then looks like one that lost it.
    return Tampering(f"edit seal {name}", frozenset({"changed", "personal_gone"}), place.tenant, place.number)


def delete_row(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Delete a row."""
    place = desk.rng.choice(places)
    desk.run(*desk.drop_row(place))
    return Tampering("delete row", frozenset({"missing"}), place.tenant, place.number)


def delete_both(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Delete a row in the middle with its seal."""
    place = desk.rng.choice([p for p in places if any(q.tenant == p.tenant and q.number > p.number for q in places)])
    desk.run(*desk.drop_row(place), desk.drop_seal(place))
    return Tampering("delete row and seal", frozenset({"seal_missing"}), place.tenant, place.number)


def delete_seal(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Delete a seal alone."""
    place = desk.rng.choice([p for p in places if any(q.position > p.position for q in places)])
    desk.run(desk.drop_seal(place))
    return Tampering("delete seal", frozenset({"seal_missing", "inserted"}), place.tenant)


def insert_row(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Put a row of one's own before the others."""
    place = desk.rng.choice(places)
    with desk.crm.bound.begin() as c:
        names = [column.name for column in desk.journal.c if column.name != "id"]
        given = sa.select(sa.literal(-desk.rng.randrange(1, 1000)), *(desk.journal.c[n] for n in names)).where(
            desk.journal.c.id == place.id
        )
        statement = desk.journal.insert().from_select(["id", *names], given)
        text = str(statement.compile(dialect=c.dialect, compile_kwargs={"literal_binds": True}))
        c.exec_driver_sql(text.replace(") SELECT", ") OVERRIDING SYSTEM VALUE SELECT") if c.dialect.name != "sqlite" else text)
    return Tampering("insert row", frozenset({"inserted"}), place.tenant)


def swap_rows(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Let two rows of a tenant change their places."""
    one, two = _pair(desk, places)
    mine = desk.journal.c.id
    names = [c.name for c in desk.journal.c if c.name != "id"]
    with desk.crm.bound.begin() as c:
        a, b = (dict(c.execute(sa.select(*(desk.journal.c[n] for n in names)).where(mine == p.id)).mappings().one()) for p in (one, two))
        c.execute(desk.journal.update().where(mine == one.id).values(**b))
        c.execute(desk.journal.update().where(mine == two.id).values(**a))
    return Tampering("swap rows", _CHANGED, one.tenant, one.number)


def swap_seals(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Let two seals change their rows."""
    one, two = _pair(desk, places)
    mine = desk.seal.c.position
    steps = ((one.position, -1), (two.position, one.position), (-1, two.position))
    desk.run(*(desk.seal.update().where(mine == old).values(position=new) for old, new in steps))
    return Tampering("swap seals", frozenset({"changed", "moved"}), one.tenant, one.number)


def give_away(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Give a row with its seal to another tenant, at the end of that one's chain."""
    place = desk.rng.choice([p for p in places if p.tenant == "main"])
    mine = (desk.seal.c.tenant == place.tenant, desk.seal.c.number == place.number)
    number = 1 + max(p.number for p in places if p.tenant == "other")
    desk.change(place, {"tenant": "other"})
    desk.run(desk.seal.update().where(*mine).values(tenant="other", number=number))
    return Tampering("give away", frozenset({"changed", "moved", "seal_missing", "truncated"}), "")


def edit_and_reseal(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Change a row and make the chain anew: the checkpoints here tell."""
    place = desk.rng.choice(places)
    desk.change(place, {"actor": "nobody"})
    desk.reseal(place.tenant)
    return Tampering("edit and reseal", frozenset({"rewritten"}), place.tenant)


def delete_and_reseal(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Delete a row and make the chain anew."""
    place = desk.rng.choice(places)
    desk.run(*desk.drop_row(place))
    desk.reseal(place.tenant)
    return Tampering("delete and reseal", frozenset({"rewritten", "truncated"}), place.tenant)


def cut_the_end(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Delete the newest rows with their seals: the checkpoints here tell."""
    tenant, gone = _newest(desk, places)
    desk.run(*(s for p in gone for s in (*desk.drop_row(p), desk.drop_seal(p))))
    return Tampering("cut the end", frozenset({"truncated"}), tenant, gone[0].number)


def forge_checkpoint(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Change a row, make the chain anew and write its new head into the checkpoints, without the key."""
    place = desk.rng.choice(places)
    desk.change(place, {"actor": "nobody"})
    desk.reseal(place.tenant)
    seal, mark = desk.seal, desk.checkpoint
    head = sa.select(seal.c.hash).where(seal.c.tenant == mark.c.tenant, seal.c.number == mark.c.number).scalar_subquery()
    desk.run(mark.update().where(mark.c.tenant == place.tenant).values(head=head))
    return Tampering("forge checkpoint", frozenset({"forged"}), place.tenant)


def edit_and_forget(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Change a row, make the chain anew and delete the checkpoints: only the sink tells."""
    place = desk.rng.choice(places)
    desk.change(place, {"actor": "nobody"})
    desk.reseal(place.tenant)
    desk.run(desk.checkpoint.delete().where(desk.checkpoint.c.tenant == place.tenant))
    return Tampering("edit and forget", frozenset({"rewritten"}), place.tenant, outside=True)


def cut_and_forget(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Delete the newest rows, their seals and the checkpoints that know them: only the sink tells."""
    tenant, gone = _newest(desk, places)
    marks = desk.checkpoint.delete().where(desk.checkpoint.c.tenant == tenant, desk.checkpoint.c.number >= gone[0].number)
    desk.run(*(s for p in gone for s in (*desk.drop_row(p), desk.drop_seal(p))), marks)
    return Tampering("cut and forget", frozenset({"truncated"}), tenant, gone[0].number, outside=True)


def forget_a_tenant(desk: Desk, places: Sequence[Place]) -> Tampering:
    """Delete all of a tenant: only the sink tells."""
    tenant = desk.rng.choice(["main", "other"])
    mine = [p for p in places if p.tenant == tenant]
    desk.run(
        *(s for p in mine for s in (*desk.drop_row(p), desk.drop_seal(p))),
        desk.checkpoint.delete().where(desk.checkpoint.c.tenant == tenant),
    )
    return Tampering("forget a tenant", frozenset({"truncated"}), tenant, 1, outside=True)


def _pair(desk: Desk, places: Sequence[Place]) -> tuple[Place, Place]:
    tenant = desk.rng.choice(["main", "other"])
    one, two = sorted(desk.rng.sample([p for p in places if p.tenant == tenant], 2), key=lambda p: p.number)
    return one, two


def _newest(desk: Desk, places: Sequence[Place]) -> tuple[str, list[Place]]:
    tenant = desk.rng.choice(["main", "other"])
    mine = sorted((p for p in places if p.tenant == tenant), key=lambda p: p.number)
    return tenant, mine[-desk.rng.randrange(1, 11) :]


WAYS: Sequence[Way] = (
    edit, edit_instant, edit_personal, hide_personal, edit_inside, edit_seal, delete_row, delete_both, delete_seal, insert_row, swap_rows,
    swap_seals, give_away, edit_and_reseal, delete_and_reseal, cut_the_end, forge_checkpoint, edit_and_forget, cut_and_forget,
    forget_a_tenant,
)  # fmt: skip
