"""What the core itself writes into the journal besides changes of records: the contract of each kind, in one place.

Each entry has ``id`` in its payload besides what is named here. Entries of the kind ``core`` have no record of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "core.backed_up.v1": "entity core; position: of the last row in the backup; heads: number and hash of each chain, by tenant",
    "core.denied.v1": "entity of the records, or core; call; code; action: the permission that was missing; count: how often",
    "core.elevated.v1": "entity core; plugin, reason",
    "core.erased.v1": "one entry a record whose personal content was taken out: entity and record are its own; subject: which request",
    "core.exported.v1": "entity of the records; fields, rows, withheld. Of one person: entity core; subject, entities: rows by entity",
    "core.linked.v1": "entity and record of the one side; link: its name; a, b: both ids",
    "core.marked.v1": "entity and record of a person; mark: held or restricted; reason",
    "core.modules_switched.v1": "entity core; modules: the plugins that are on in the tenant; None: all",
    "core.person_erased.v1": "entity core; the certificate of an erasure: id, subjects, counts, hash, ...",
    "core.plugin_disabled.v1": "entity core; plugin, version, checks_end: whether its vetoes on others' records end as well",
    "core.plugin_enabled.v1": "entity core; plugin, version",
    "core.plugin_installed.v1": "entity core; plugin, version; before: None",
    "core.plugin_uninstalled.v1": "entity core; plugin, version; kept: whether its data was; rows: the tenant's, by table and column",
    "core.plugin_upgraded.v1": "entity core; plugin, version; before: the version that was there",
    "core.plugins_changed.v1": "entity core; plugins: versions by name; before: those of the last start",
    "core.read.v1": "entity of the records; fields: the sensitive ones; records: ids of those given whole; count: of all rows given",
    "core.restored.v1": "entity core; position: of the last row that came back; backup: its name",
    "core.retained.v1": "entity core; a batch of a rule of retention: rule, entity, action, before: the instant, records: how many",
    "core.role_defined.v1": "entity core; role: its definition; before: what it was",
    "core.role_removed.v1": "entity core; role: its name; before: what it was",
    "core.rollup_rebuilt.v1": "entity core; rollup, cells",
    "core.settings_changed.v1": "entity core; plugin; changes: the new values; before: the old ones",
    "core.shared.v1": "entity and record shared; grantee, actions",
    "core.suppressed.v1": "entity core; addresses: how many; reason",
    "core.tenant_created.v1": "entity core; label; modules: as core.modules_switched.v1",
    "core.tenant_dropped.v1": "entity core; rows: how many went, by table",
    "core.tenant_resumed.v1": "entity core; state",
    "core.tenant_suspended.v1": "entity core; state",
    "core.unlinked.v1": "as core.linked.v1",
    "core.unmarked.v1": "entity and record; mark",
    "core.unshared.v1": "entity and record; grantee, actions: what was shared",
}

PERSON_ERASED = "core.person_erased.v1"
RETAINED = "core.retained.v1"

# Who takes personal content out of the journal (sets ``personal`` to NULL in a record's rows) writes this entry for the record in the same
# transaction. Nothing but a later entry of this kind, in the same chain, makes the verification accept a row without its personal part.
ERASED = "core.erased.v1"
