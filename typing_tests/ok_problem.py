"""An error is data that a host can answer with."""

from typing import Any, assert_type

from crm_core.errors import CRMError

error = CRMError()
assert_type(error.status, int)
assert_type(error.code, str)
assert_type(error.problem(), dict[str, Any])
