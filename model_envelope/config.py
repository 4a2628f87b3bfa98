"""Where things are: the only module that reads this package's environment variables."""

from __future__ import annotations

import os
from pathlib import Path

STORE = "MODEL_ENVELOPE_STORE"
ARTIFACTS = "MODEL_ENVELOPE_ARTIFACTS"
HOME = "MODEL_ENVELOPE_HOME"
CACHE = "MODEL_ENVELOPE_CACHE"
STATE = "MODEL_ENVELOPE_STATE"
SPARK_MASTER = "MODEL_ENVELOPE_SPARK_MASTER"
BASE_IMAGE = "MODEL_ENVELOPE_BASE_IMAGE"
IMAGE_REPOSITORY = "MODEL_ENVELOPE_IMAGE_REPOSITORY"


def home() -> Path:
    """The folder of the embedded store."""
    return Path(os.environ.get(HOME) or "~/.model-envelope").expanduser()


def store_url() -> str:
    """The store's SQLAlchemy URL: SQLite in `home()` unless set."""
    return os.environ.get(STORE) or f"sqlite:///{home() / 'store.sqlite'}"


def artifacts_address() -> str:
    """A directory or `s3://bucket/prefix`: a folder in `home()` unless set."""
    return os.environ.get(ARTIFACTS) or str(home() / "artifacts")


def cache() -> Path:
    """The folder of what can be made again: environments, downloaded artifacts."""
    return Path(os.environ.get(CACHE) or "~/.cache/model-envelope").expanduser()


def state() -> Path:
    """The folder of what runs on this machine: supervisors of services, the proxy's routes."""
    return Path(os.environ.get(STATE) or home() / "state").expanduser()


def spark_master() -> str:
    """The Spark master of batch predictions outside Airflow."""
    return os.environ.get(SPARK_MASTER) or "local[*]"


def base_image() -> str:
    """The image that services' images are built on: any with glibc and what Python links to."""
    return os.environ.get(BASE_IMAGE) or "docker.io/library/python:3.13-slim-bookworm"


def image_repository() -> str:
    """Where services' images are tagged; `registry.example/team/models` to push them there."""
    return os.environ.get(IMAGE_REPOSITORY) or "model-envelope"
