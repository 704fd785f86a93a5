"""The audit: the journal sealed into a chain that convicts whoever changes it afterwards."""

from .checkpoints import Audit, Checkpoint, FileSigner, FileSink, Signer, Sink
from .kinds import ERASED, KINDS
from .trail import Trail
from .verify import Finding, Verdict

__all__ = ["ERASED", "KINDS", "Audit", "Checkpoint", "FileSigner", "FileSink", "Finding", "Signer", "Sink", "Trail", "Verdict"]
