"""The module's messages, in English and Chinese; one line a code, sorted. What its fields are called is in ``labels``."""

from __future__ import annotations

from collections.abc import Mapping

from .plugin import plugin

_EN: Mapping[str, str] = {
    "service.action.acknowledge": "Acknowledge",
    "service.action.answer_offer": "Customer's answer",
    "service.action.assign": "Assign",
    "service.action.complete": "Complete",
    "service.action.offer": "Offer a resolution",
    "service.action.reach": "Reach a milestone",
    "service.action.reopen": "Reopen",
    "service.action.reply": "Reply",
    "service.action.respond": "Answer a survey",
    "service.action.solve": "Solve",
    "service.bad_calendar": "The calendar's {field} cannot be used: expected {expected}.",
    "service.bad_case": "Case {case} cannot be taken in: expected {expected}.",
    "service.bad_complaint_step": "A complaint that is {before} cannot become {after}.[ From here it can become {allowed}.]",
    "service.bad_match": "The policy's rule cannot be used: {reason}",
    "service.bad_method": "A survey of the kind {kind} has no figure by {given}: ask for one by {allowed}.",
    "service.bad_scale": "The scale does not fit the kind {kind}: use one like {lowest} to {highest}.",
    "service.bad_score": "The score is out of range: expected {lowest} to {highest}.",
    "service.bad_targets": "The policy's targets cannot be used: expected {expected}.",
    "service.bad_transition": "A ticket that is {before} cannot become {after}.[ From here it can become {allowed}.]",
    "service.calendar_closed": "The calendar is closed for ever after {since}: give it working hours.",
    "service.complaint_ended": "The complaint has ended ({status}) and stays as it is.",
    "service.internal_inbound": "What the customer says cannot be internal: leave one of the two out.",
    "service.panel.promises": "Open promises",
    "service.panel.surveys": "Last answers",
    "service.reopen_window_passed": "The ticket was closed, or solved more than {days} days ago: open a new one.",
    "service.request_unfinished": "The request still has open steps ({steps}) or promises ({promises}): finish them first.",
    "service.resolution_missing": "Say what went wrong and what is offered before you offer it.",
    "service.role.agent": "Service agent",
    "service.role.manager": "Service manager",
    "service.role.respondent": "Answers surveys",
    "service.survey_closed": "The survey “{survey}” is closed: open it before you invite people.",
    "service.survey_in_use": "People have answered this survey, so its kind and scale stay: make a new one.",
    "service.survey_token": "This link cannot be used to answer.",
    "service.unknown_milestone": "The ticket's policy has no milestone “{given}”[; it has: {known}].",
}

_ZH: Mapping[str, str] = {
    "service.action.acknowledge": "确认",
    "service.action.answer_offer": "客户答复",
    "service.action.assign": "分配",
    "service.action.complete": "完成",
    "service.action.offer": "提出解决方案",
    "service.action.reach": "达到里程碑",
    "service.action.reopen": "重新打开",
    "service.action.reply": "回复",
    "service.action.respond": "回答调查",
    "service.action.solve": "解决",
    "service.bad_calendar": "日历的 {field} 无法使用：应为 {expected}。",
    "service.bad_case": "个案 {case} 无法导入：应为 {expected}。",
    "service.bad_complaint_step": "状态为 {before} 的投诉不能变为 {after}。[可变为：{allowed}。]",
    "service.bad_match": "策略的规则无法使用：{reason}",
    "service.bad_method": "{kind} 类调查没有 {given} 这种算法：请使用 {allowed}。",
    "service.bad_scale": "量表与 {kind} 类调查不符：请使用例如 {lowest} 到 {highest}。",
    "service.bad_score": "评分超出范围：应为 {lowest} 到 {highest}。",
    "service.bad_targets": "策略的目标无法使用：应为 {expected}。",
    "service.bad_transition": "状态为 {before} 的工单不能变为 {after}。[可变为：{allowed}。]",
    "service.calendar_closed": "日历在 {since} 之后再无工作时间：请设置工作时间。",
    "service.complaint_ended": "投诉已结束（{status}），不能再更改。",
    "service.internal_inbound": "客户的话不能标为内部：请去掉其中一项。",
    "service.panel.promises": "未兑现的承诺",
    "service.panel.surveys": "最近的回答",
    "service.reopen_window_passed": "工单已关闭，或已解决超过 {days} 天：请新建工单。",
    "service.request_unfinished": "请求还有未完成的步骤（{steps}）或承诺（{promises}）：请先完成。",
    "service.resolution_missing": "请先填写根本原因和解决方案，再提出方案。",
    "service.role.agent": "客服",
    "service.role.manager": "客服主管",
    "service.role.respondent": "调查回答者",
    "service.survey_closed": "调查“{survey}”已关闭：请先启用再邀请。",
    "service.survey_in_use": "此调查已有人回答，类别和量表不能更改：请新建调查。",
    "service.survey_token": "此链接无法用于回答。",
    "service.unknown_milestone": "工单的策略没有里程碑“{given}”[；已有：{known}]。",
}

plugin.catalogue("en", _EN)
plugin.catalogue("zh", _ZH)
