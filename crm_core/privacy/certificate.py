"""The certificate of an erasure: who, when, what and how many, with no word of whom it was about but ids."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from ..errors import Invalid


@attrs.frozen
class Certificate:
    """What was erased.

    Attributes:
        id: of the request; ``core.erased.v1`` entries of the journal name it as their ``subject``.
        subjects: the records that were the person, as ``contact:ID``.
        by: the id of who did it.
        counts: records by entity and action: ``{"contact": {"delete": 1}}``.
        hash: SHA-256 of all the others, in canonical JSON.
    """

    id: str
    tenant: str
    at: datetime
    by: str
    reason: str
    subjects: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    hash: str = ""

    @property
    def digest(self) -> str:
        """The hash that it should have."""
        said = {name: value for name, value in self.to_json().items() if name != "hash"}
        return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def sealed(self) -> Certificate:
        """Return it with its hash."""
        return attrs.evolve(self, hash=self.digest)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return attrs.asdict(self) | {"at": self.at.astimezone(UTC).isoformat(), "subjects": list(self.subjects)}

    @classmethod
    def from_json(cls, data: Any) -> Certificate:
        """Read one, and hold it against its hash.

        Raises:
            Invalid: ``bad_certificate``.
        """
        try:
            read = cls(**{**data, "at": datetime.fromisoformat(data["at"]), "subjects": tuple(data["subjects"])})
            sound = read.hash == read.digest
        except (TypeError, KeyError, ValueError, AttributeError):
            sound = False
        if not sound:
            raise Invalid("bad_certificate")
        return read


def write_certificate(path: str | os.PathLike[str], certificate: Certificate) -> None:
    """Add a certificate to a file of them, a line each, and wait until it is on the disk."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(certificate.to_json(), sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_certificates(path: str | os.PathLike[str]) -> Iterator[Certificate]:
    """Read a file of certificates.

    Raises:
        Invalid: ``bad_certificate``: a line is none, or was changed.
    """
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            try:
                data = json.loads(line)
            except ValueError:
                data = None
            yield Certificate.from_json(data)
