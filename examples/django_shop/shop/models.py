"""The shop's own table."""

from django.db import models


class Order(models.Model):
    account = models.UUIDField(db_index=True)  # an Account of the CRM
    item = models.CharField(max_length=100)
    quantity = models.IntegerField()
