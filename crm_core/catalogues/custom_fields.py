"""What is said of custom fields, in English and Chinese; one line a code, sorted."""

from __future__ import annotations

from collections.abc import Mapping

MESSAGES: Mapping[str, tuple[str, str]] = {
    "bad_url": (
        "This is not a web address. It should look like https://example.com/page.",
        "这不是网址。应形如 https://example.com/page。",
    ),
    "cli_field_added": ("The field {field} is there.", "字段 {field} 已可用。"),
    "cli_field_deleted": (
        "The field {field} is deleted, and was emptied in {count} records.",
        "字段 {field} 已删除，并在 {count} 条记录中清空。",
    ),
    "cli_field_retired": ("The field {field} is out of use; its values are kept.", "字段 {field} 已停用，其值予以保留。"),
    "custom_bound": (
        "This is no bound of the field's type, or the least value is beyond the greatest. Bounds are for numbers, dates and instants.",
        "这不是该字段类型的界限，或最小值大于最大值。只有数字、日期和时刻可以有界限。",
    ),
    "custom_currency": ("The amounts of this field are in {currency}, not {given}.", "此字段的金额以 {currency} 计，而不是 {given}。"),
    "custom_fixed": (
        "This cannot change once the field is there. Retire it and add another.",
        "字段建立后此项不可更改。请停用该字段并新建一个。",
    ),
    "custom_function": (
        "A query may not take {function} of {field}. Take what the field's kind allows, such as count, min, max and sum, or reckon in Python.",
        "查询不能对 {field} 使用 {function}。请使用该字段类型允许的函数，如 count、min、max 和 sum，或在 Python 中计算。",
    ),
    "custom_has_data": (
        "{count} records have a value in {field}. Retire the field, or delete it with its data on purpose.",
        "有 {count} 条记录在 {field} 中有值。请停用该字段，或明确选择连同数据一起删除。",
    ),
    "custom_label": (
        "A label is a text of at most {limit} characters in one line for each language, like en and zh.",
        "标签须为每种语言（如 en 和 zh）的一行文本，最多 {limit} 个字符。",
    ),
    "custom_money": (
        "A field for amounts names its currency; other kinds of fields do not.",
        "金额字段须指明货币；其他类型的字段不需要。",
    ),
    "custom_name": (
        "A name has small letters, digits and _, begins with a letter, and has at most 40 characters.",
        "名称只能由小写字母、数字和下划线组成，以字母开头，最多 40 个字符。",
    ),
    "custom_name_used": (
        "A field of this name was deleted, and history shows what it held. Use another name, or the same kind for no more readers.",
        "同名字段已被删除，历史记录仍会显示其内容。请换一个名称，或使用相同类型且不增加读者。",
    ),
    "custom_not_unique": (
        "Several records have the same value in {field}, so it cannot become unique.",
        "多条记录在 {field} 中的值相同，因此不能设为唯一。",
    ),
    "custom_operator": (
        "{field} is a custom field: compare it with a plain value by ==, !=, <, <=, >, >=, in_ or startswith, or sort by it.",
        "{field} 是自定义字段：请用 ==、!=、<、<=、>、>=、in_ 或 startswith 与普通值比较，或按其排序。",
    ),
    "custom_options": (
        "A choice needs 1 to {limit} options, each with another value; other kinds of fields have none.",
        "选项字段需要 1 到 {limit} 个取值各不相同的选项；其他类型的字段没有选项。",
    ),
    "custom_pattern": (
        "This is no pattern for a text field: a regular expression without repeated groups, with at most two of * and +.",
        "这不是文本字段可用的格式：须为不含重复分组的正则表达式，且 * 与 + 合计最多两个。",
    ),
    "custom_role_unknown": (
        "No role is named {given}.[ Did you mean {suggestion}?]",
        "没有名为 {given} 的角色。[您是否想用 {suggestion}？]",
    ),
    "custom_roles": ("Roles are a list of at most {limit} names.", "角色须为最多 {limit} 个名称的列表。"),
    "custom_target": (
        "A reference names the entity that it points at; other kinds of fields do not.",
        "引用字段须指明所指向的记录类型；其他类型的字段不需要。",
    ),
    "custom_too_many": ("{entity} has {limit} custom fields already.", "{entity} 已有 {limit} 个自定义字段。"),
    "pattern_mismatch": ("The value does not match the pattern {pattern}.", "该值不符合格式 {pattern}。"),
}
