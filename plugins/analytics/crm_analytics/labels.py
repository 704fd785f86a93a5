"""What entities, fields, options, settings, permissions and events are called, in English and Chinese; one line a name, sorted."""

from __future__ import annotations

from collections.abc import Mapping

from .plugin import plugin

LABELS: Mapping[str, tuple[str, str]] = {
    "analytics.account_grade": ("Customer's grade", "客户等级"),
    "analytics.account_grade.account": ("Account", "客户"),
    "analytics.account_grade.as_of": ("As of", "评级日期"),
    "analytics.account_grade.frequency": ("Frequency score", "购买频率得分"),
    "analytics.account_grade.grade": ("Grade", "等级"),
    "analytics.account_grade.last_on": ("Last purchase", "最近购买日期"),
    "analytics.account_grade.monetary": ("Amount score", "购买金额得分"),
    "analytics.account_grade.override": ("Override", "手动等级"),
    "analytics.account_grade.override_by": ("Overridden by", "手动评级人"),
    "analytics.account_grade.override_reason": ("Reason of the override", "手动评级原因"),
    "analytics.account_grade.override_until": ("Override until", "手动评级有效期"),
    "analytics.account_grade.purchases": ("Purchases", "购买次数"),
    "analytics.account_grade.recency": ("Recency score", "最近购买得分"),
    "analytics.account_grade.spent": ("Spent", "购买金额"),
    "analytics.grade_change": ("Change of grade", "等级变更"),
    "analytics.grade_change.account": ("Account", "客户"),
    "analytics.grade_change.after": ("Grade after", "新等级"),
    "analytics.grade_change.at": ("At", "时间"),
    "analytics.grade_change.before": ("Grade before", "原等级"),
    "analytics.grade_change.by": ("By", "操作人"),
    "analytics.grade_change.why": ("Why", "原因"),
    "analytics.label": ("Analytics", "分析"),
    "analytics.permission.grade": ("Grade customers", "客户评级"),
    "analytics.permission.rebuild": ("Rebuild sums", "重建汇总"),
    "analytics.permission.settings": ("Change the settings", "修改设置"),
    "analytics.setting.customer": ("Who bought", "购买方维度"),
    "analytics.setting.fiscal_start": ("First month of the fiscal year", "财年起始月"),
    "analytics.setting.grade_currency": ("Currency of grades", "评级币种"),
    "analytics.setting.grades": ("Grades", "等级划分"),
    "analytics.setting.purchases": ("What counts as purchases", "购买金额指标"),
    "analytics.setting.zone": ("Time zone", "时区"),
}

plugin.catalogue("en", {code: english for code, (english, _) in LABELS.items()})
plugin.catalogue("zh", {code: chinese for code, (_, chinese) in LABELS.items()})
