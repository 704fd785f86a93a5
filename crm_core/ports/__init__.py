"""Ports: the small protocols through which plugins reach the outside, and implementations for hosts that have none of their own."""

from __future__ import annotations

from .files import DirectoryFiles as DirectoryFiles
from .files import Files as Files
from .files import MemoryFiles as MemoryFiles
from .http import Answer as Answer
from .http import GuardedHttp as GuardedHttp
from .http import Http as Http
from .http import MemoryHttp as MemoryHttp
from .http import Sent as Sent
from .mail import Attachment as Attachment
from .mail import Mail as Mail
from .mail import Mailer as Mailer
from .mail import MemoryMailer as MemoryMailer
from .mail import SMTPMailer as SMTPMailer
from .notices import LiveNotifier as LiveNotifier
from .notices import Notice as Notice
from .notices import Notifier as Notifier
from .s3 import S3Files as S3Files

__all__ = [
    "Answer",
    "Attachment",
    "DirectoryFiles",
    "Files",
    "GuardedHttp",
    "Http",
    "LiveNotifier",
    "Mail",
    "Mailer",
    "MemoryFiles",
    "MemoryHttp",
    "MemoryMailer",
    "Notice",
    "Notifier",
    "S3Files",
    "SMTPMailer",
    "Sent",
]
