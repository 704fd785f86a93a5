"""The shop's own table."""

from __future__ import annotations

import uuid

from django.db import models


class Order(models.Model):
    account: models.UUIDField[uuid.UUID, uuid.UUID] = models.UUIDField(db_index=True)  # an Account of the CRM
    item: models.CharField[str, str] = models.CharField(max_length=100)
    quantity: models.IntegerField[int, int] = models.IntegerField()
