"""Typed metrics: validated, stored, compared and drawn alike everywhere."""

from model_envelope.metrics.calibration import Calibration
from model_envelope.metrics.charts import Chart, plot_models
from model_envelope.metrics.confusion_matrix import ConfusionMatrix
from model_envelope.metrics.curves import PrCurve, RocCurve
from model_envelope.metrics.distributions import Histogram, Quantiles
from model_envelope.metrics.feature_importance import FeatureImportance
from model_envelope.metrics.frames import frame
from model_envelope.metrics.metric_type import Comparison, Delta, MetricType
from model_envelope.metrics.points import from_point, points_of, to_points
from model_envelope.metrics.registry import UnknownMetric, metric_types, register
from model_envelope.metrics.scalar import Scalar
from model_envelope.metrics.table import Table
from model_envelope.metrics.time_series import TimeSeries
from model_envelope.metrics.trends import plot_points
from model_envelope.metrics.vector import Vector
from model_envelope.store.rows import MetricPoint

__all__ = [
    "Calibration",
    "Chart",
    "Comparison",
    "ConfusionMatrix",
    "Delta",
    "FeatureImportance",
    "Histogram",
    "MetricPoint",
    "MetricType",
    "PrCurve",
    "Quantiles",
    "RocCurve",
    "Scalar",
    "Table",
    "TimeSeries",
    "UnknownMetric",
    "Vector",
    "frame",
    "from_point",
    "metric_types",
    "plot_models",
    "plot_points",
    "points_of",
    "register",
    "to_points",
]
