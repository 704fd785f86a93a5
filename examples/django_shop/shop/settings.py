"""Settings. ``SHOP_POSTGRES`` is a PostgreSQL's host or socket directory, ``SHOP_NAME`` the database or the SQLite file."""

import os

SECRET_KEY = os.environ.get("SHOP_SECRET", "only for this example")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING = {"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}}, "root": {"handlers": ["console"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

POSTGRES = os.environ.get("SHOP_POSTGRES")
SQLITE = {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"}  # writers wait for each other
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql" if POSTGRES else "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_NAME", "shop.sqlite3"),
        **({"HOST": POSTGRES, "USER": "postgres"} if POSTGRES else {"OPTIONS": SQLITE}),
    }
}

INSTALLED_APPS = ["crm_core.ext.django", "shop"]  # migrate runs the CRM's migrations, too
MIDDLEWARE = ["crm_core.ext.django.Problems"]  # its errors are problem documents
CRM = "shop.crm.crm"  # where it is
