"""Rules about records, the public face: ``F("stage") == "won"``, ``related("account", owner)``, ``owner | subordinates``.

One definition, read as SQL and as Python, kept as JSON. What the words mean, NULL included, stands in ``crm_core.permissions.predicates``.
"""

from .permissions.codec import from_json, to_json
from .permissions.predicates import F, Rule, actor, everything, nothing, owner, related, subordinates, team

__all__ = ["F", "Rule", "actor", "everything", "from_json", "nothing", "owner", "related", "subordinates", "team", "to_json"]
