"""Put any Python model in an envelope; what runs it is derived from that.

    import model_envelope as me

    envelope = me.save_model(predict, tags={"canonical_name": "client_ltv"}, api_input=frame)
    me.predict("canonical_name == 'client_ltv'", frame)

The functions here are calls on one `Client`, made from the environment variables at the
first call. Importing this package imports none of its dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from model_envelope._version import __version__

if TYPE_CHECKING:
    from model_envelope import errors, metrics
    from model_envelope.client.client import Client
    from model_envelope.client.envelope import Envelope
    from model_envelope.client.predicting import Model
    from model_envelope.client.sugar import (
        apply_rules,
        batch_predict,
        compare,
        connect,
        count,
        deploy,
        facets,
        get,
        latest,
        load,
        pause_rule,
        plan,
        plot,
        predict,
        query,
        reconcile,
        remove_rule,
        resume_rule,
        rollback,
        rule,
        rules,
        save_model,
        scatter,
        services,
        undeploy,
        unpin,
        why,
    )

__all__ = [
    "Client",
    "Envelope",
    "Model",
    "__version__",
    "apply_rules",
    "batch_predict",
    "compare",
    "connect",
    "count",
    "deploy",
    "errors",
    "facets",
    "get",
    "latest",
    "load",
    "metrics",
    "pause_rule",
    "plan",
    "plot",
    "predict",
    "query",
    "reconcile",
    "remove_rule",
    "resume_rule",
    "rollback",
    "rule",
    "rules",
    "save_model",
    "scatter",
    "services",
    "undeploy",
    "unpin",
    "why",
]

_HOMES = {
    "Client": "client.client",
    "Envelope": "client.envelope",
    "Model": "client.predicting",
}
_MODULES = ("errors", "metrics")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    home = import_module(f"{__name__}.{_HOMES.get(name, 'client.sugar')}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return __all__
