"""The few pieces that the built-in Vega-Lite charts are made of."""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

WHOLE = {"format": ",d", "labelExpr": "datum.value % 1 ? '' : datum.label"}
"""Axes and legends of whole numbers: of a few, the places between them have no label."""

_NOT_BETWEEN = {"condition": {"test": "datum.value % 1", "value": 0}, "value": 1}


def chart(description: str, *, mark: str | Spec, **encoding: Spec | list[Spec]) -> Spec:
    """One mark over the named dataset `data`."""
    return {
        "description": description,
        "data": {"name": "data"},
        "mark": {"type": mark, "tooltip": True} if isinstance(mark, str) else mark,
        "encoding": encoding,
    }


def over_diagonal(spec: Spec) -> Spec:
    """A chart drawn over the line from (0, 0) to (1, 1)."""
    x, y = spec["encoding"]["x"], spec["encoding"]["y"]
    diagonal = {
        "data": {"values": [{"at": 0}, {"at": 1}]},
        "mark": {"type": "line", "strokeDash": [2, 3], "strokeWidth": 1, "opacity": 0.6},
        "encoding": {"x": {**x, "field": "at"}, "y": {**y, "field": "at"}},
    }
    layers = [diagonal, {"mark": spec["mark"], "encoding": spec["encoding"]}]
    return {"description": spec["description"], "data": spec["data"], "layer": layers}


def beside_each_other(spec: Spec, n_models: int) -> Spec:
    """A small chart for each model, where colour is taken by something else."""
    if n_models == 1:
        return spec
    inner = {key: value for key, value in spec.items() if key not in ("description", "data")}
    return {
        "description": spec["description"],
        "data": spec["data"],
        "facet": nominal("model", title=None),
        "columns": 3,
        "spec": inner,
    }


def quantitative(field: str, **more: Any) -> Spec:
    """A number's channel."""
    return {"field": field, "type": "quantitative", **more}


def nominal(field: str, **more: Any) -> Spec:
    """A label's channel."""
    return {"field": field, "type": "nominal", **more}


def whole(field: str, **more: Any) -> Spec:
    """The channel of whole numbers: nothing stands between them, and no `1.0`."""
    axis = {**WHOLE, "gridOpacity": _NOT_BETWEEN, "tickOpacity": _NOT_BETWEEN}
    return quantitative(field, axis=axis, **more)


def share(field: str, title: str) -> Spec:
    """The channel of a number from 0 to 1."""
    return quantitative(field, title=title, scale={"domain": [0, 1]})


def model_colour(n_models: int) -> Spec:
    """Colour by model, with a legend when there is more than one."""
    return nominal("model") if n_models > 1 else nominal("model", legend=None)


def line_by_model(n_models: int) -> dict[str, Spec]:
    """Colour and dash by model: neither is needed to tell the lines apart."""
    return {"color": model_colour(n_models), "strokeDash": model_colour(n_models)}
