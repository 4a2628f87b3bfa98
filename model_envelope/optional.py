"""Packages that only some uses need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from model_envelope.errors import MissingDependency


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional package.

    Raises:
        MissingDependency: it is not installed; says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependency(
            f"{module} is not installed: pip install 'model-envelope[{extra}]'."
        ) from error
