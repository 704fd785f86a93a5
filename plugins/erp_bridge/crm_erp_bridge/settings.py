"""What a host sets for the ERP bridge."""

from __future__ import annotations

import attrs

from .bridge import Bridge

_positive = attrs.validators.ge(1)
_DAY = attrs.validators.le(86_400)  # of seconds; as minutes, two months


@attrs.define
class Settings:
    """Settings of the ERP bridge.

    Attributes:
        bridges: the ERPs, as objects in the host's code.
        overlap_minutes: how far before the last change a run by time reads again, so that what was committed late still arrives.
        settle_seconds: how far behind the ERP's clock a run stays.
        most_tries: after so many tries an op is a dead letter.
        first_delay_seconds: the longest pause after the first failure; each later one is twice as long, up to an hour.
        lease_minutes: for how long a run that died keeps the next one of its bridge away.
        most_missing_percent: if more of the bound records are missing than this, nothing is taken for deleted.
        longest_wait_seconds: if the ERP asks to come back so soon, a run that reads waits; else it stops, and the next one goes on there.
    """

    bridges: list[Bridge] = attrs.field(factory=list)
    overlap_minutes: int = attrs.field(default=5, validator=[attrs.validators.ge(0), _DAY])
    settle_seconds: int = attrs.field(default=5, validator=[attrs.validators.ge(0), _DAY])
    most_tries: int = attrs.field(default=8, validator=[_positive, attrs.validators.le(1_000)])
    first_delay_seconds: int = attrs.field(default=30, validator=[_positive, _DAY])
    lease_minutes: int = attrs.field(default=5, validator=[_positive, attrs.validators.le(24 * 60)])
    most_missing_percent: int = attrs.field(default=20, validator=[attrs.validators.ge(0), attrs.validators.le(100)])
    longest_wait_seconds: int = attrs.field(default=10, validator=[attrs.validators.ge(0), attrs.validators.le(30)])

    @bridges.validator
    def _named_once(self, _: object, bridges: list[Bridge]) -> None:
        if len({b.name for b in bridges}) < len(bridges):
            raise ValueError("two bridges have one name")
