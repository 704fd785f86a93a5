"""The conformance suite: what a connector must do so that nothing is lost or doubled, proved against a real ERP.

    pytest -p crm_erp_bridge.conformance.options --pyargs crm_erp_bridge.conformance --connector=package.module:Subject

runs it; or subclass ``Rules`` in your own tests.
"""

import pytest

pytest.register_assert_rewrite("crm_erp_bridge.conformance.rules")

from .proxy import TcpProxy  # noqa: E402  # after the line above, which must come first
from .rules import Rules  # noqa: E402
from .subject import Document, Subject  # noqa: E402

__all__ = ["Document", "Rules", "Subject", "TcpProxy"]
