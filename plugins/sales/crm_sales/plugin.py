"""The definition of the sales module; each capability's file adds its part."""

from crm_core import Plugin

from .settings import Settings

plugin = Plugin("sales", version="1.0.0", settings=Settings, label="Sales", package="crm_sales")
plugin.grants(
    "account:read",
    "contact:read",
    "exchange_rate:read",
    "interaction:read,create,update",
    "note:read,update",
    "tag:read",
    "tagging:read,create",
)
