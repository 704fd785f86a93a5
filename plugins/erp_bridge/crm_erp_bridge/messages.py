"""The module's messages, in English and Chinese; one line a code, sorted. What its fields are called is in ``labels``."""

from __future__ import annotations

from collections.abc import Mapping

from .plugin import plugin

_EN: Mapping[str, str] = {
    "erp_bridge.action.discard": "Discard",
    "erp_bridge.action.replay": "Try again",
    "erp_bridge.ambiguous": "Several records, or one that is bound already, have the same {field}: {records}. Decide which one it is.",
    "erp_bridge.auth_failed": "The ERP does not let us in. Check the user, its rights and its key.",
    "erp_bridge.bad_file": "The file {file} cannot be read: {reason}",
    "erp_bridge.bad_mapping": "The mapping {source} cannot be used[, section {section}]: {expected}",
    "erp_bridge.bad_value": "[{field}: ]{given} cannot be read: expected {expected}.",
    "erp_bridge.both_changed": "Both sides changed {fields}. Replay takes the ERP's values, discard keeps ours.",
    "erp_bridge.breaker_open": "The ERP failed again and again and is left alone until {until}.",
    "erp_bridge.busy": "Another run of the bridge {bridge} is at work[, until {until} at the latest].",
    "erp_bridge.changed_there": "Somebody changed the record {id} in the ERP; it is written again on top of that.",
    "erp_bridge.cursor_expired": "The ERP cannot go on from where we were. Everything is read once more.",
    "erp_bridge.cursor_stuck": "The connector's page of {stream} leads to itself ({cursor}). Return a cursor that moves on.",
    "erp_bridge.fatal": "The ERP refused for good: {reason}",
    "erp_bridge.not_dead": "This is no dead letter any more: it is on its way, done or discarded.",
    "erp_bridge.not_now": "The ERP was busy; it is tried again.",
    "erp_bridge.not_offered": "The connector does not offer {what}.",
    "erp_bridge.panel.purchases": "Purchases",
    "erp_bridge.parent_missing": "It waits for {stream} {id}, which is not here yet.",
    "erp_bridge.reason_missing": "Say why it is discarded.",
    "erp_bridge.refused_fields": "The ERP refused fields of this record. Correct them, and it is written again.",
    "erp_bridge.role.operator": "ERP operator",
    "erp_bridge.role.reader": "ERP reader",
    "erp_bridge.schema_changed": "The ERP's fields are not those of the mapping any more[: {fields}].",
    "erp_bridge.throttled": "The ERP asks to come back in {seconds} seconds.",
    "erp_bridge.unavailable": "The ERP did not answer[ ({reason})].",
    "erp_bridge.unknown_bridge": "There is no bridge {given}.[ There are: {known}.]",
    "erp_bridge.unknown_letter": "There is no dead letter {given}.",
}

_ZH: Mapping[str, str] = {
    "erp_bridge.action.discard": "放弃",
    "erp_bridge.action.replay": "重试",
    "erp_bridge.ambiguous": "有多条记录（或一条已绑定的记录）的 {field} 相同：{records}。请确定是哪一条。",
    "erp_bridge.auth_failed": "ERP 拒绝登录。请检查用户、权限和密钥。",
    "erp_bridge.bad_file": "无法读取文件 {file}：{reason}",
    "erp_bridge.bad_mapping": "映射 {source} 无法使用[，段 {section}]：{expected}",
    "erp_bridge.bad_value": "[{field}：]{given} 无法读取：应为 {expected}。",
    "erp_bridge.both_changed": "双方都修改了 {fields}。重试采用 ERP 的值，放弃保留我方的值。",
    "erp_bridge.breaker_open": "ERP 连续失败，{until} 之前不再访问。",
    "erp_bridge.busy": "桥 {bridge} 正在运行另一任务[，最迟到 {until}]。",
    "erp_bridge.changed_there": "有人在 ERP 中修改了记录 {id}；将在其基础上重新写入。",
    "erp_bridge.cursor_expired": "ERP 无法从上次位置继续，将重新读取全部数据。",
    "erp_bridge.cursor_stuck": "连接器的 {stream} 页指向自身（{cursor}）。请返回能前进的游标。",
    "erp_bridge.fatal": "ERP 永久拒绝：{reason}",
    "erp_bridge.not_dead": "它已不是死信：正在途中、已完成或已放弃。",
    "erp_bridge.not_now": "ERP 繁忙，将再次尝试。",
    "erp_bridge.not_offered": "连接器不提供 {what}。",
    "erp_bridge.panel.purchases": "采购记录",
    "erp_bridge.parent_missing": "正在等待尚未到达的 {stream} {id}。",
    "erp_bridge.reason_missing": "请说明放弃的原因。",
    "erp_bridge.refused_fields": "ERP 拒绝了此记录的字段。更正后将重新写入。",
    "erp_bridge.role.operator": "ERP 操作员",
    "erp_bridge.role.reader": "ERP 查看者",
    "erp_bridge.schema_changed": "ERP 的字段与映射不再一致[：{fields}]。",
    "erp_bridge.throttled": "ERP 要求 {seconds} 秒后再来。",
    "erp_bridge.unavailable": "ERP 没有应答[（{reason}）]。",
    "erp_bridge.unknown_bridge": "没有名为 {given} 的桥。[现有：{known}。]",
    "erp_bridge.unknown_letter": "没有死信 {given}。",
}

plugin.catalogue("en", _EN)
plugin.catalogue("zh", _ZH)
