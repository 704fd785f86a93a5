"""Files in and out: reading, mapping and rejecting rows; writing what an actor may export."""

from .exporter import Exported, export
from .form import Form
from .importer import Importer
from .mapping import Mapping, Source, mapping_of, read_mappings
from .propose import propose, to_toml
from .readers import Row, Rows, open_rows
from .report import Failure, Report, Unknown
from .undo import Left, Undone, undo

__all__ = [
    "Exported",
    "Failure",
    "Form",
    "Importer",
    "Left",
    "Mapping",
    "Report",
    "Row",
    "Rows",
    "Source",
    "Undone",
    "Unknown",
    "export",
    "mapping_of",
    "open_rows",
    "propose",
    "read_mappings",
    "to_toml",
    "undo",
]
