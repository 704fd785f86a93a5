"""An error's data is typed: its status is a number and its details are not changed in place."""

from crm_core.errors import CRMError

error = CRMError()
status: str = error.status  # E: assignment, reportAssignmentType
error.details.append("more")  # E: attr-defined, reportAttributeAccessIssue
