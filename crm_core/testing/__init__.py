"""What the tests of vendors and hosts import: the kit, factories, databases, a crash injector; ``conformance`` is a room of its own.

``crm_core.testing.plugin`` is the pytest plugin with the fixtures.
"""

from .factory import Factory, Maker, example
from .kit import Kit, open_kit

__all__ = ["Factory", "Kit", "Maker", "example", "open_kit"]
