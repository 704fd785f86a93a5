"""What people read: templates by message id, the choice of a language, and the redaction of values."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import attrs

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_SHOWN = 40
_MOST = 300


@attrs.frozen
class Catalogue:
    """The templates of one language: ``Catalogue("de", {"acme.blocked": "{tier} ist gesperrt"})``.

    A template's ``{name}`` is a parameter; a part in square brackets is left out where one of its parameters is missing or empty.
    """

    locale: str
    templates: Mapping[str, str]


class Messages:
    """The catalogues of one CRM: the core's, then those its plugins bring; a later one wins."""

    def __init__(self, catalogues: Iterable[Catalogue] = ()) -> None:
        self._by_locale: dict[str, dict[str, str]] = {}
        for catalogue in (*CORE, *catalogues):
            self._by_locale.setdefault(catalogue.locale, {}).update(catalogue.templates)

    def template(self, code: str, locale: str = "en") -> str | None:
        """Find the template of *code*: ``zh_CN``, then ``zh``, then ``en``; None where no language has it."""
        for name in _fallbacks(locale):
            found = self._by_locale.get(name, {}).get(code)
            if found is not None:
                return found
        return None

    def text(self, code: str, params: Mapping[str, Any], locale: str = "en") -> str:
        """Say *code* in words of *locale*; without a template, the code with its parameters. A missing parameter is shown as ``?``."""
        template = self.template(code, locale)
        if template is None:
            given = ", ".join(f"{name}={_show(value)}" for name, value in params.items())
            return f"{code} ({given})" if given else code
        return _fill(template, params)


def text(code: str, params: Mapping[str, Any], locale: str = "en") -> str:
    """Say one of the core's own messages; a CRM's ``Messages`` knows its plugins' too."""
    return _CORE_MESSAGES.text(code, params, locale)


def redact(value: object) -> str:
    """Describe *value* without giving away what may be personal: text and containers by type and size, numbers and dates as they are."""
    if isinstance(value, enum.Enum):
        return _cut(str(value.value))
    if isinstance(value, int) and value.bit_length() > 128:
        return f"int({value.bit_length()} bits)"
    if value is None or isinstance(value, int | float | Decimal | date | timedelta):
        return _cut(str(value))
    if isinstance(value, str | bytes | bytearray | list | tuple | set | frozenset | dict):
        return f"{type(value).__name__}({len(value)})"
    return _cut(type(value).__name__)


def _cut(shown: str) -> str:
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


def _fallbacks(locale: str) -> Iterable[str]:
    parts = locale.replace("-", "_").split("_")
    for size in range(len(parts), 0, -1):
        yield "_".join(parts[:size])
    yield "en"


def _fill(template: str, params: Mapping[str, Any]) -> str:
    def keep(part: re.Match[str]) -> str:
        names = _PLACEHOLDER.findall(part[1])
        return part[1] if all(params.get(name) not in (None, "", [], ()) for name in names) else ""

    return _PLACEHOLDER.sub(lambda m: _show(params.get(m[1], "?")), _OPTIONAL.sub(keep, template))


def _show(value: Any) -> str:
    """Write a parameter on one line: what a caller sends must not be able to forge a line of a log."""
    if isinstance(value, list | tuple | set | frozenset):
        shown = ", ".join(map(_show, itertools.islice(value, _MOST)))
    else:
        shown = redact(value) if isinstance(value, int) else str(value)
    shown = shown if len(shown) <= _MOST else shown[: _MOST - 1] + "…"
    return shown if shown.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


# One line a code, sorted, in both languages.
_EN: Mapping[str, str] = {
    "action_ill_typed": "The action {action} must take a session and a command: annotate its second parameter with an attrs class. See {where}.",
    "action_without_record": "The action {action} acts on {entity}, but {command} has no field Ref[{entity}]. Add one.",
    "bad_address": "An address needs at least one of street, city, region or postal code.",
    "bad_annotation": "{entity}.{field}: {annotation} is not a type a field can have. Use Field[...], MoneyField or ListField[...].",
    "bad_country": "{given} is not a country code: use two letters of ISO 3166-1, like DE.",
    "bad_currency": "{given} is not a currency of ISO 4217.[ Did you mean {suggestion}?]",
    "bad_email": "This is not an e-mail address. It should look like name@example.com.",
    "bad_enum": "The value[ {given}] is not one of {allowed}.[ Did you mean {suggestion}?]",
    "bad_id": "{given} is not an id: ids are lower-case UUIDs.",
    "bad_json": "The value cannot be written as JSON and read back the same.",
    "bad_money": "The value is not money: it needs an amount (text, Decimal or int) and a currency.",
    "bad_phone": "This is not a telephone number. Write it with + and the code of its country.",
    "bad_ratio": "A ratio must be a number of at least zero, not {given}.",
    "bad_ref": "There is no such {target}.",
    "bad_value": "The value cannot be used: {reason}.",
    "bad_version": "{given} is not a version: write numbers with dots, like 1.2.0.",
    "bad_version_range": "{given} is not a range of versions: write ==, !=, >=, <=, > or < with a version, joined by commas, like >=1,<2.",
    "commit_outcome_unknown": "The connection broke during COMMIT; the change may be saved or not. Ask crm.outcome(key) before you retry.",
    "compare_with_money": "{field} compares with Money of one currency, not with {given}.",
    "conflict": "Someone else changed this record. Read it again and repeat your change.",
    "control_character": "Control characters are not allowed here.",
    "cyclic": "The record would point at itself, directly or through others.",
    "decimal_arithmetic": "The databases do not agree on {operator} of decimals. Calculate it in Python.",
    "denied": "You may not do this.",
    "division_by_zero": "Money cannot be divided by zero.",
    "entity_taken": "The entity {entity} of {plugin} belongs to {other} already. Give it another name.",
    "error": "Something went wrong.",
    "extension_needs_default": "{extension}.{field} needs a default, because records exist without it.",
    "extension_taken": "The extension {extension} of {plugin} belongs to {other} already. Define another class.",
    "extension_unbound": "The extension {extension} extends nothing yet. Decorate it with @plugin.extend(Entity).",
    "field_default_twice": "Give a field a default or a factory, not both.",
    "field_taken": "{entity} has a field {field} already; {plugin} must name its own differently.",
    "hook_circle": "Implementations of the hook {hook} want to run before each other: {chain}. Remove one before= or after=.",
    "hook_filter_returns": "{part} of {plugin} implements the filter {hook} and must return the value, but is annotated to return None. See {where}.",
    "hook_not_by_entity": "{part} of {plugin} says on=, but the hook {hook} is not about one entity. Remove on=. See {where}.",
    "hook_not_loaded": "No loaded plugin declares the hook {hook}. Declare it with plugin.hooks(...).[ Did you mean {suggestion}?]",
    "hook_order_unknown": "{part} of {plugin} wants to run before or after {target}, which does not implement this hook.[ Did you mean {suggestion}?] See {where}.",
    "hook_unknown": "{part} of {plugin} implements the hook {hook}, which no loaded plugin declares.[ Did you mean {suggestion}? Import it from its plugin's api.] See {where}.",
    "hook_veto_returns": "{part} of {plugin} implements the veto {hook} and must return nothing: refuse with ctx.refuse(...). See {where}.",
    "invalid": "The values are not valid.",
    "link_target_missing": "{plugin} links {target}, which no loaded plugin defines. Load the plugin that does.",
    "load_error": "The CRM cannot start as configured.",
    "loop_detected": "Events or hooks call each other in a circle: {chain}.",
    "missing_extra": "This needs an optional part: pip install 'crm-core[{extra}]'.",
    "mixed_currency": "Amounts in {one} and {other} cannot be added or compared. Convert one of them first.",
    "money_does_not_sort": "{field} holds amounts of several currencies, which have no order. Sort within one currency.",
    "naive_datetime": "A date and time needs a time zone.[ Given: {given}.]",
    "name_taken": "The {kind} {name} is defined twice: by {one} and by {two}. Rename one.",
    "name_unprefixed": "The {kind} {name} of {plugin} must start with {plugin} and a dot.",
    "needs_await": "An event loop runs here. Use asession, or await crm.run(...).",
    "not_a_plain_function": "{part} of {plugin} is a coroutine or a generator, whose body would not run. Make it a plain function. See {where}.",
    "not_a_plugin": "{given} is not a Plugin. Pass the plugin object of the module, like crm_sales.plugin.",
    "not_an_entity": "{given} is not an entity class.",
    "not_declared": "{plugin} uses {thing}, which no loaded plugin declares. Load the plugin that does, or declare it.",
    "not_extended": "{extension} does not extend {entity}.",
    "not_finite": "The value must be a finite number[, not {given}].",
    "not_found": "There is no such record.",
    "not_readable": "You may not read this field.",
    "not_stored": "This {entity} has not been created yet.",
    "not_unique": "Another record has this value already.",
    "out_of_range": "The value must lie between {min} and {max}.",
    "plugin_bad_name": "{given} is not a name for a plugin: use lower-case words joined by dots, like acme.loyalty.",
    "plugin_circle": "Plugins require each other in a circle: {chain}. Remove one of the requirements.",
    "plugin_failed": "The plugin {plugin} failed in {hook}[ ({function}: {reason})]. Nothing was changed.",
    "plugin_import_failed": "The plugin {plugin} is installed but cannot be imported: {reason}.",
    "plugin_incompatible": "{plugin} needs {needed} {range}. {reason}",
    "plugin_missing": "{plugin} needs {needed}[ {range}], which is not loaded. Add it to plugins=[...].[ Did you mean {suggestion}?]",
    "plugin_not_installed": "No installed package offers a plugin {given}. Install it with pip.[ Did you mean {suggestion}?]",
    "plugin_twice": "Two plugins are called {plugin} (versions {one} and {two}). Load one of them.",
    "plugin_unknown": "No plugin {given} is loaded.[ Did you mean {suggestion}?]",
    "protected": "Other records still refer to this one[: {referrers}]. Change or delete them first.",
    "read_only": "Nothing can be written here.",
    "read_only_field": "This field is set by the system and cannot be written.",
    "ref_target_missing": "{plugin}: {field} points at {target}, which no loaded plugin defines. Load the plugin that does.",
    "refusal_outside_veto": "[{running} refused {refused}, but ]only a veto hook can refuse.",
    "refused": "This was refused.",
    "required": "A value is required.",
    "requirement_undeclared": "{plugin} uses {thing} of {other} without requiring it. Name {other} and a range of versions in requires=.",
    "schema_behind": "The database's schema and this version of the code do not fit. crm.migrations.plan() says what to do.",
    "service_unknown": "No loaded plugin offers the service {given}.[ Did you mean {suggestion}?]",
    "settings_invalid": "The settings are not valid.",
    "settings_not_attrs": "The settings of {plugin}, {given}, must be an attrs class.",
    "settings_refused": "The settings of {plugin} are not valid: {reason}.",
    "settings_type": "{settings}: {annotation} is not a type a setting can have.",
    "stale_version": "The record is at version {current}, not {given}. Read it again and repeat your change.",
    "table_collision": "Two entities would share the table {table}; the second is of {plugin}. Rename one.",
    "too_big": "The value[ {given}] is beyond the limit of {limit}.",
    "too_long": "The value is longer than the limit of {limit}[: {length}].",
    "too_precise": "The value[ {given}] has more than {scale} digits after the point. Round it first.",
    "two_primaries": "Only one of a list can be the primary one.",
    "unavailable": "The database cannot serve now. Nothing was changed; try again.",
    "unknown_action": "No action takes a {given}.[ Did you mean {suggestion}?]",
    "unknown_field": "There is no field {field}.[ Did you mean {suggestion}?]",
    "unresolved_annotation": "{entity}: the name {name} in an annotation is not known where the class is defined. Import it.",
    "version_differs": "{version} is there, but exactly {needed} is needed.",
    "version_excluded": "{version} is there, but {needed} is excluded.",
    "version_too_new": "{version} is there, but a version {needed} is needed: use an older one.",
    "version_too_old": "{version} is there, but a version {needed} is needed: use a newer one.",
    "wrong_parameters": "{part} of {plugin} must take these parameters: {takes}. See {where}.",
    "wrong_type": "The value is {given}, but must be {expected}.",
    "zero_ratios": "At least one ratio must be above zero.",
}

_ZH: Mapping[str, str] = {
    "action_ill_typed": "操作 {action} 必须接收会话和命令：请用 attrs 类注解它的第二个参数。见 {where}。",
    "action_without_record": "操作 {action} 作用于 {entity}，但 {command} 没有 Ref[{entity}] 字段。请添加一个。",
    "bad_address": "地址至少需要街道、城市、地区或邮政编码之一。",
    "bad_annotation": "{entity}.{field}：{annotation} 不是字段可用的类型。请使用 Field[...]、MoneyField 或 ListField[...]。",
    "bad_country": "{given} 不是国家代码：请使用 ISO 3166-1 的两位字母，例如 DE。",
    "bad_currency": "{given} 不是 ISO 4217 货币代码。[您是否想输入 {suggestion}？]",
    "bad_email": "这不是电子邮件地址。它应当像 name@example.com 这样。",
    "bad_enum": "值[ {given}] 不在可选值 {allowed} 之中。[您是否想输入 {suggestion}？]",
    "bad_id": "{given} 不是编号：编号是小写的 UUID。",
    "bad_json": "该值无法写成 JSON 并原样读回。",
    "bad_money": "该值不是金额：需要数额（文本、Decimal 或 int）和货币。",
    "bad_phone": "这不是电话号码。请写上 + 和国家代码。",
    "bad_ratio": "分摊比例必须是不小于零的数，不能是 {given}。",
    "bad_ref": "没有这个 {target}。",
    "bad_value": "该值无法使用：{reason}。",
    "bad_version": "{given} 不是版本号：请用点分隔的数字，例如 1.2.0。",
    "bad_version_range": "{given} 不是版本范围：请写 ==、!=、>=、<=、> 或 < 加版本号，用逗号连接，例如 >=1,<2。",
    "commit_outcome_unknown": "提交时连接中断：更改可能已保存，也可能没有。重试前请先询问 crm.outcome(key)。",
    "compare_with_money": "{field} 只能与单一货币的 Money 比较，不能与 {given} 比较。",
    "conflict": "其他人已修改此记录。请重新读取后再作更改。",
    "control_character": "此处不允许控制字符。",
    "cyclic": "该记录会直接或间接指向自身。",
    "decimal_arithmetic": "各数据库对小数的 {operator} 运算结果不一致。请在 Python 中计算。",
    "denied": "您无权执行此操作。",
    "division_by_zero": "金额不能除以零。",
    "entity_taken": "{plugin} 的实体 {entity} 已属于 {other}。请换一个名称。",
    "error": "发生错误。",
    "extension_needs_default": "{extension}.{field} 需要默认值，因为已有记录没有该字段。",
    "extension_taken": "{plugin} 的扩展 {extension} 已属于 {other}。请另外定义一个类。",
    "extension_unbound": "扩展 {extension} 尚未扩展任何实体。请用 @plugin.extend(Entity) 装饰。",
    "field_default_twice": "字段只能指定 default 或 factory 之一。",
    "field_taken": "{entity} 已有字段 {field}；{plugin} 必须使用其他名称。",
    "hook_circle": "钩子 {hook} 的实现互相要求先运行：{chain}。请去掉一个 before= 或 after=。",
    "hook_filter_returns": "{plugin} 的 {part} 实现过滤钩子 {hook}，必须返回该值，但注解为返回 None。见 {where}。",
    "hook_not_by_entity": "{plugin} 的 {part} 写了 on=，但钩子 {hook} 不针对某一实体。请去掉 on=。见 {where}。",
    "hook_not_loaded": "没有已加载的插件声明钩子 {hook}。请用 plugin.hooks(...) 声明。[您是否想用 {suggestion}？]",
    "hook_order_unknown": "{plugin} 的 {part} 要求在 {target} 之前或之后运行，但后者没有实现此钩子。[您是否想用 {suggestion}？]见 {where}。",
    "hook_unknown": "{plugin} 的 {part} 实现了钩子 {hook}，但没有已加载的插件声明它。[您是否想用 {suggestion}？请从其插件的 api 导入。]见 {where}。",
    "hook_veto_returns": "{plugin} 的 {part} 实现否决钩子 {hook}，不得返回值：请用 ctx.refuse(...) 拒绝。见 {where}。",
    "invalid": "所填的值无效。",
    "link_target_missing": "{plugin} 关联了 {target}，但没有已加载的插件定义它。请加载相应插件。",
    "load_error": "CRM 无法按当前配置启动。",
    "loop_detected": "事件或钩子循环调用：{chain}。",
    "missing_extra": "此功能需要可选组件：pip install 'crm-core[{extra}]'。",
    "mixed_currency": "{one} 与 {other} 的金额不能相加或比较。请先换算其中之一。",
    "money_does_not_sort": "{field} 含有多种货币的金额，没有先后顺序。请在同一货币内排序。",
    "naive_datetime": "日期时间必须带有时区。[给定的值：{given}。]",
    "name_taken": "{kind} {name} 定义了两次：{one} 和 {two}。请改名其一。",
    "name_unprefixed": "{plugin} 的 {kind} {name} 必须以 {plugin} 加点号开头。",
    "needs_await": "此处正在运行事件循环。请使用 asession，或 await crm.run(...)。",
    "not_a_plain_function": "{plugin} 的 {part} 是协程或生成器，其代码不会运行。请改为普通函数。见 {where}。",
    "not_a_plugin": "{given} 不是 Plugin。请传入模块的插件对象，例如 crm_sales.plugin。",
    "not_an_entity": "{given} 不是实体类。",
    "not_declared": "{plugin} 使用了 {thing}，但没有已加载的插件声明它。请加载相应插件，或声明它。",
    "not_extended": "{extension} 没有扩展 {entity}。",
    "not_finite": "该值必须是有限的数[，不能是 {given}]。",
    "not_found": "没有这条记录。",
    "not_readable": "您无权读取此字段。",
    "not_stored": "此 {entity} 尚未创建。",
    "not_unique": "另一条记录已使用该值。",
    "out_of_range": "该值必须在 {min} 与 {max} 之间。",
    "plugin_bad_name": "{given} 不能作为插件名称：请用点号连接的小写单词，例如 acme.loyalty。",
    "plugin_circle": "插件循环依赖：{chain}。请去掉其中一个依赖。",
    "plugin_failed": "插件 {plugin} 在 {hook} 中出错[（{function}：{reason}）]。没有任何更改。",
    "plugin_import_failed": "插件 {plugin} 已安装，但无法导入：{reason}。",
    "plugin_incompatible": "{plugin} 需要 {needed} {range}。{reason}",
    "plugin_missing": "{plugin} 需要 {needed}[ {range}]，但它没有加载。请加入 plugins=[...]。[您是否想用 {suggestion}？]",
    "plugin_not_installed": "没有已安装的软件包提供插件 {given}。请用 pip 安装。[您是否想用 {suggestion}？]",
    "plugin_twice": "有两个插件名为 {plugin}（版本 {one} 和 {two}）。请只加载一个。",
    "plugin_unknown": "没有加载插件 {given}。[您是否想用 {suggestion}？]",
    "protected": "仍有其他记录引用此记录[：{referrers}]。请先修改或删除它们。",
    "read_only": "此处不能写入。",
    "read_only_field": "此字段由系统设置，不能写入。",
    "ref_target_missing": "{plugin}：{field} 指向 {target}，但没有已加载的插件定义它。请加载相应插件。",
    "refusal_outside_veto": "[{running} 拒绝了 {refused}，但]只有否决钩子可以拒绝。",
    "refused": "此操作被拒绝。",
    "required": "必须填写。",
    "requirement_undeclared": "{plugin} 使用了 {other} 的 {thing}，但没有声明依赖。请在 requires= 中写明 {other} 及版本范围。",
    "schema_behind": "数据库结构与当前代码版本不符。crm.migrations.plan() 会说明如何处理。",
    "service_unknown": "没有已加载的插件提供服务 {given}。[您是否想用 {suggestion}？]",
    "settings_invalid": "设置无效。",
    "settings_not_attrs": "{plugin} 的设置 {given} 必须是 attrs 类。",
    "settings_refused": "{plugin} 的设置无效：{reason}。",
    "settings_type": "{settings}：{annotation} 不是设置可用的类型。",
    "stale_version": "该记录的版本是 {current}，不是 {given}。请重新读取后再作更改。",
    "table_collision": "两个实体会共用表 {table}；第二个属于 {plugin}。请改名。",
    "too_big": "值[ {given}] 超出上限 {limit}。",
    "too_long": "值的长度超出上限 {limit}[：{length}]。",
    "too_precise": "值[ {given}] 的小数位超过 {scale} 位。请先舍入。",
    "two_primaries": "列表中只能有一个主要项。",
    "unavailable": "数据库当前无法服务。没有任何更改；请重试。",
    "unknown_action": "没有操作接收 {given}。[您是否想用 {suggestion}？]",
    "unknown_field": "没有字段 {field}。[您是否想输入 {suggestion}？]",
    "unresolved_annotation": "{entity}：注解中的名称 {name} 在定义类的地方未知。请导入它。",
    "version_differs": "现有版本是 {version}，但必须正好是 {needed}。",
    "version_excluded": "现有版本是 {version}，但 {needed} 被排除。",
    "version_too_new": "现有版本是 {version}，但需要 {needed} 的版本：请使用较旧的版本。",
    "version_too_old": "现有版本是 {version}，但需要 {needed} 的版本：请使用较新的版本。",
    "wrong_parameters": "{plugin} 的 {part} 必须接收这些参数：{takes}。见 {where}。",
    "wrong_type": "该值是 {given}，但必须是 {expected}。",
    "zero_ratios": "至少一个分摊比例必须大于零。",
}

CORE: tuple[Catalogue, ...] = (Catalogue("en", _EN), Catalogue("zh", _ZH))
_CORE_MESSAGES = Messages()
