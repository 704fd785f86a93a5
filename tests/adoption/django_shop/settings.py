"""Settings. ``SHOP_POSTGRES`` is a PostgreSQL's host or socket directory, ``SHOP_NAME`` the database or the SQLite file."""

import os

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.adoption.django_shop.urls"
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
POSTGRES = os.environ.get("SHOP_POSTGRES")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql" if POSTGRES else "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_NAME", "shop.sqlite3"),
        **({"HOST": POSTGRES, "USER": "postgres"} if POSTGRES else {}),
    }
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "crm_core.ext.django",
    "tests.adoption.django_shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "crm_core.ext.django.Acting",
    "crm_core.ext.django.Problems",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
CRM = "tests.adoption.django_shop.crm.crm"
CRM_ACTOR = "tests.adoption.django_shop.crm.actor"
