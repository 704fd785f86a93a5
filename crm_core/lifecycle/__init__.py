"""How plugins come into a database, rest there, and go: ``crm.plugins``.

What each plugin made is kept beside it, so that it can be taken out when its code is gone.
"""

from .room import Plugins
from .state import Disabling, PluginPlan, PluginStatus, Removal

__all__ = ["Disabling", "PluginPlan", "PluginStatus", "Plugins", "Removal"]
