"""Privacy: all that is known of one person, given to them, or erased for good and proved; who is not to be written to any more."""

from .certificate import Certificate, read_certificates, write_certificate
from .erasing import certificates, erase, reapply, scrub
from .exporting import export
from .marks import hold, release, restrict, unrestrict
from .planning import Plan, Step, plan
from .retention import Due, due, retain, suggested
from .suppression import allow, suppress

__all__ = [
    "Certificate",
    "Due",
    "Plan",
    "Step",
    "allow",
    "certificates",
    "due",
    "erase",
    "export",
    "hold",
    "plan",
    "read_certificates",
    "reapply",
    "release",
    "restrict",
    "retain",
    "scrub",
    "suggested",
    "suppress",
    "unrestrict",
    "write_certificate",
]
