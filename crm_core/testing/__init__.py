"""What the tests of vendors and hosts import: the kit, factories, databases, a crash injector; ``conformance`` is a room of its own.

``crm_core.testing.plugin`` is the pytest plugin with the fixtures.
"""

from .crashes import Crashed, crash
from .databases import Database
from .factory import Factory, Maker, example, examples_in
from .kit import Kit, open_kit

__all__ = ["Crashed", "Database", "Factory", "Kit", "Maker", "crash", "example", "examples_in", "open_kit"]
