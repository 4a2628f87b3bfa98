"""Where things are: the only module that reads this package's environment variables."""

from __future__ import annotations

import os
from pathlib import Path

STORE = "MODEL_ENVELOPE_STORE"
ARTIFACTS = "MODEL_ENVELOPE_ARTIFACTS"
HOME = "MODEL_ENVELOPE_HOME"
CACHE = "MODEL_ENVELOPE_CACHE"
SPARK_MASTER = "MODEL_ENVELOPE_SPARK_MASTER"


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


def spark_master() -> str:
    """The Spark master of batch predictions outside Airflow."""
    return os.environ.get(SPARK_MASTER) or "local[*]"
