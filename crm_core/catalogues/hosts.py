"""What is said of hosts' tables and processes, in English and Chinese; one line a code, sorted."""

from __future__ import annotations

from collections.abc import Mapping

MESSAGES: Mapping[str, tuple[str, str]] = {
    "adopted_column_type": (
        "{entity} cannot adopt the column {column} of type {type} as {field}. See the table of types in docs/how-to/adopt.md.",
        "{entity} 不能把类型为 {type} 的列 {column} 用作 {field}。请参阅 docs/how-to/adopt.md 中的类型表。",
    ),
    "adopted_column_unfilled": (
        "The column {column} of {table} is never NULL, and nothing says what the CRM writes there for a new {entity}. Map it, or name it in fill=.",
        "{table} 的列 {column} 不可为 NULL，而新建 {entity} 时不知该写什么。请映射它，或在 fill= 中指定。",
    ),
    "adopted_column_unknown": (
        "{table} has no column {column}, which {entity} is to adopt as {field}.",
        "{table} 没有列 {column}，而 {entity} 要把它用作 {field}。",
    ),
    "adopted_columns_gone": (
        "A migration of yours took columns of the CRM out of {tables}: {names}. `crm migrate` or crm.migrations.upgrade makes them again, empty.",
        "您的迁移从 {tables} 中移除了 CRM 的列：{names}。`crm migrate` 或 crm.migrations.upgrade 会重新创建它们（内容为空）。",
    ),
    "adopted_columns_missing": (
        "The table {table}, which {entity} adopted, has no {columns} in the database. Run your own migrations, or change the columns of Adopted.",
        "{entity} 所采用的表 {table} 在数据库中没有 {columns}。请运行您自己的迁移，或修改 Adopted 的列。",
    ),
    "adopted_field_missing": (
        "{entity} needs a column for {field}: name it in columns=.",
        "{entity} 需要 {field} 的列：请在 columns= 中指定。",
    ),
    "adopted_field_unknown": (
        "{entity} has no field {field} that a column of the host could be.",
        "{entity} 没有可以对应宿主列的字段 {field}。",
    ),
    "adopted_fill_unknown": (
        "{table} has no column {column}, which fill= of {entity} gives a value.",
        "{table} 没有列 {column}，而 {entity} 的 fill= 为它指定了值。",
    ),
    "adopted_key": (
        "The primary key of {table} cannot become ids of {entity}: it has to be one column, an integer or a Uuid.",
        "{table} 的主键不能作为 {entity} 的编号：必须是单独一列，类型为整数或 Uuid。",
    ),
    "adopted_late": (
        "{entity} has a table of its own in this database, so {table} cannot stand for it. Adopt before the first migration.",
        "{entity} 在此数据库中已有自己的表，因此 {table} 不能代替它。请在首次迁移之前采用。",
    ),
    "adopted_manager": (
        'What is saved of {model} goes past the CRM. Give the model objects = ObservedQuerySet.as_manager() (or a queryset of yours that derives from it) as its first manager, and base_manager_name = "objects" in its Meta.',
        '{model} 的保存不经过 CRM。请把 objects = ObservedQuerySet.as_manager()（或派生自它的查询集）设为该模型的第一个管理器，并在其 Meta 中写 base_manager_name = "objects"。',
    ),
    "adopted_no_sequence": (
        "Nothing gives out numbers for {table}.{column}. Give the column an identity or a sequence.",
        "{table}.{column} 没有编号来源。请为该列设置 identity 或序列。",
    ),
    "adopted_no_table": (
        "Adopted takes a SQLAlchemy Table, a mapped class, or a Django model where crm_core.ext.django is in INSTALLED_APPS, not {given}.",
        "Adopted 需要 SQLAlchemy 的 Table、映射类，或在 INSTALLED_APPS 含有 crm_core.ext.django 时的 Django 模型，而不是 {given}。",
    ),
    "adopted_not": (
        "{entity} stands in a table of its own, not in one of the host's.",
        "{entity} 在自己的表中，而不在宿主的表中。",
    ),
    "adopted_sealed": (
        "{entity}.{field} is sealed, and a host's table keeps nothing sealed.",
        "{entity}.{field} 是加密字段，而宿主的表不保存加密内容。",
    ),
    "adopted_table_missing": (
        "The table {table}, which {entity} is to adopt, is not in the database. Create it before the CRM's migration.",
        "{entity} 要采用的表 {table} 不在数据库中。请在 CRM 迁移之前创建它。",
    ),
    "adopted_tenant": (
        '{table} cannot say that a row is {tenant}\'s, so a session of {tenant} makes no {entity} there. Map "tenant" to a column that holds it.',
        '{table} 无法表明某行属于 {tenant}，因此 {tenant} 的会话不能在其中创建 {entity}。请把 "tenant" 映射到能保存它的列。',
    ),
    "adopted_value": (
        "{field} is {expected} in the host's table, and cannot be {given}.",
        "{field} 在宿主的表中是{expected}，不能是 {given}。",
    ),
    "backup_adopted": (
        "The rows of {tables} are the host's. Restore them together with the CRM's tables by the database's own backup.",
        "{tables} 的行属于宿主。请用数据库自身的备份把它们与 CRM 的表一起恢复。",
    ),
    "cli_adopted": ("{rows} rows written down.", "已记录 {rows} 行。"),
    "cli_adopted_whole": ("Nothing is wrong.", "没有问题。"),
    "doctor_unobserved": (
        "{table} is adopted as {entity}, and nothing here observes an ORM that writes to it. Call crm.adoption.observe(sessionmaker), or for Django models crm_core.ext.django.observe(crm), where the CRM is made; if nothing writes there, say Adopted(..., observed=False).",
        "{table} 已被采用为 {entity}，但此处没有观察任何写入它的 ORM。请在创建 CRM 的地方调用 crm.adoption.observe(sessionmaker)，对 Django 模型则调用 crm_core.ext.django.observe(crm)；如果没有写入，请写 Adopted(..., observed=False)。",
    ),
    "forked_while_open": (
        "This process was forked while a connection to {database} was in use, which SQLite does not survive. Fork first, then open sessions and workers.",
        "该进程在 {database} 的连接正被使用时被 fork，SQLite 不支持这样做。请先 fork，再打开会话和 worker。",
    ),
    "not_signed_in": ("Sign in first.", "请先登录。"),
}
