"""The same records for everybody: people and deals by a seeded generator, plain values alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

Row = dict[str, Any]

FIRST = ("Ann", "Ben", "Chen", "Dana", "Emil", "Fatima", "Georg", "Hana", "Ivan", "Jana", "Kofi", "Lena")
LAST = ("Miller", "Schmidt", "Wang", "Rossi", "Garcia", "Novak", "Tanaka", "Okafor", "Larsen", "Dubois")
CITIES = ("Berlin", "Madrid", "Shanghai", "Lagos", "Oslo", "Lyon", "Osaka", "Prague")
STAGES = ("new", "talks", "offer", "won", "lost")
OWNERS, TEAMS = 500, 25
# Who looks: this owner and their team see about 4 % of the deals, as in the published figures.
ME, MY_TEAM = "user17", "team3"


def people(count: int, start: int = 0, owner: str = "") -> Iterator[Row]:
    """Yield *count* people, from number *start* on; of *owner*, or of 500 owners in turn."""
    chance = random.Random(f"people/{start}")
    for n in range(start, start + count):
        first, last = chance.choice(FIRST), f"{chance.choice(LAST)}{n % 1000}"
        yield {
            "first_name": first,
            "last_name": last,
            "email": f"{first.lower()}.{last.lower()}.{n}@example.com",
            "phone": f"+49301{n:07d}",
            "city": chance.choice(CITIES),
            "language": "en",
            "customer": n % 3 == 0,
            "rating": n % 101,
            "born": f"19{50 + n % 50}-{1 + n % 12:02d}-{1 + n % 28:02d}",
            "owner": owner or f"user{n % OWNERS}",
            "note": "met at the fair, wants an offer for a hundred seats until the end of the quarter",
        }


def deals(count: int, start: int = 0) -> Iterator[Row]:
    """Yield *count* deals; amounts are whole cents, so that every database sorts them alike."""
    chance = random.Random(f"deals/{start}")
    for n in range(start, start + count):
        yield {
            "name": f"Deal {n}",
            "owner": f"user{chance.randrange(OWNERS)}",
            "team": f"team{chance.randrange(TEAMS)}",
            "stage": chance.choice(STAGES),
            "amount": chance.randrange(100_000_000),
        }
