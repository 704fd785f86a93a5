"""The module's messages, in English and Chinese; one line a code, sorted. What its fields are called is in ``labels``."""

from __future__ import annotations

from collections.abc import Mapping

from .plugin import plugin

_EN: Mapping[str, str] = {
    "analytics.action.override": "Override grade",
    "analytics.action.rebuild": "Rebuild sums",
    "analytics.action.regrade": "Grade customers",
    "analytics.bad_month": "A fiscal year begins in a month from 1 to 12, not in {given}.",
    "analytics.bad_question": "A report's {part} cannot be {given}: give {expected}.",
    "analytics.column.currency": "Currency",
    "analytics.column.period": "Period",
    "analytics.foreign_dimension": "{metric} cannot be grouped by {dimension}: ask the catalogue for what it can.",
    "analytics.no_date": "{metric} has no date: ask without a grain and without days.",
    "analytics.no_filter": "{metric} is computed and cannot be filtered: ask without a rule.",
    "analytics.no_metric": "Name at least one metric.",
    "analytics.no_purchases": "{metric} by {dimension} is no measure of dated amounts by customer: set purchases and customer.",
    "analytics.override_incomplete": "An override needs a reason, an owner and the day it ends.",
    "analytics.panel.grade": "Grade",
    "analytics.role.analyst": "Analyst",
    "analytics.role.viewer": "Analytics reader",
    "analytics.several_totals": "The amounts are in {currencies} and have no common total: name a currency to convert to.",
    "analytics.too_many_periods": "That is more than {limit} periods of a {grain}: take a longer grain or fewer days.",
    "analytics.unknown_dimension": "There is no dimension {given}; there are: {known}.",
    "analytics.unknown_grade": "There is no grade {given}; there are: {known}.",
    "analytics.unknown_metric": "There is no metric {given}; there are: {known}.",
    "analytics.unknown_zone": "{given} is no zone of the IANA database.",
}

_ZH: Mapping[str, str] = {
    "analytics.action.override": "手动评级",
    "analytics.action.rebuild": "重建汇总",
    "analytics.action.regrade": "客户评级",
    "analytics.bad_month": "财年从 1 到 12 月中的某月开始，不能是 {given}。",
    "analytics.bad_question": "报表的 {part} 不能是 {given}：应为 {expected}。",
    "analytics.column.currency": "币种",
    "analytics.column.period": "期间",
    "analytics.foreign_dimension": "{metric} 不能按 {dimension} 分组：可用的维度见目录。",
    "analytics.no_date": "{metric} 没有日期：请不要指定周期和日期范围。",
    "analytics.no_filter": "{metric} 是计算得出的，不能筛选：请去掉条件。",
    "analytics.no_metric": "请至少指定一个指标。",
    "analytics.no_purchases": "按 {dimension} 的 {metric} 不是带日期的客户金额指标：请设置 analytics 的 purchases 和 customer。",
    "analytics.override_incomplete": "手动评级需要原因、负责人和截止日期。",
    "analytics.panel.grade": "客户等级",
    "analytics.role.analyst": "分析师",
    "analytics.role.viewer": "报表读者",
    "analytics.several_totals": "金额的币种有 {currencies}，没有共同的合计：请指定换算的币种。",
    "analytics.too_many_periods": "周期（{grain}）超过 {limit} 个：请选择更长的周期或更短的日期范围。",
    "analytics.unknown_dimension": "没有维度 {given}；现有：{known}。",
    "analytics.unknown_grade": "没有等级 {given}；现有：{known}。",
    "analytics.unknown_metric": "没有指标 {given}；现有：{known}。",
    "analytics.unknown_zone": "{given} 不是 IANA 时区。",
}

plugin.catalogue("en", _EN)
plugin.catalogue("zh", _ZH)
