"""What a service spends on bodies and answers: microseconds of CPU, without server or model.

    python -m benchmarks.serving_formats

A linear model of ten numbers, once with a DataFrame and once with an array as its input, and
one of mixed columns. `by Arrow` is the same prediction without the direct way to the model.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import report
from model_envelope import derivation
from model_envelope.runtime import inputs
from model_envelope.runtime.calling import Predictor
from model_envelope.serving.formats import JSON, Codec

SECONDS, REPEATS = 0.1, 5
COLUMNS = [f"feature_{i}" for i in range(10)]
WEIGHTS = np.arange(10.0)


def microseconds(call: Callable[[], Any]) -> float:
    """The least CPU time of a call, of some trials."""
    call()
    found = []
    for _ in range(REPEATS):
        count, start = 0, time.thread_time()
        while (spent := time.thread_time() - start) < SECONDS:
            call()
            count += 1
        found.append(spent / count)
    return round(min(found) * 1e6, 1)


def models() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Samples and functions by name."""
    numbers = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 10)), columns=COLUMNS)
    mixed = numbers.assign(kind=pd.Categorical(["x", "y"] * 10), text="a", count=1)
    return {
        "frame": (numbers, lambda frame: frame.to_numpy() @ WEIGHTS),
        "array": (numbers.to_numpy(), lambda block: block @ WEIGHTS),
        "mixed frame": (mixed, lambda frame: frame[COLUMNS].to_numpy() @ WEIGHTS),
    }


def measured(name: str, sample: Any, function: Callable[[Any], Any], count: int) -> dict[str, Any]:
    """One line of the table."""
    table = derivation.describe_input(sample)
    taken = derivation.take_sample(table, inputs.kind_of(sample), 20)
    spec = derivation.derive("predict", function, taken, file="model").spec
    codec, predictor = Codec(spec), Predictor(spec, function)
    rows = (table.to_pylist() * -(-count // 20))[:count]
    split = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    body, mlflow = json.dumps(rows).encode(), json.dumps({"dataframe_split": split}).encode()
    request = codec.read(body, JSON, "native")
    output = codec.predict(predictor, [request.columns])
    return {
        "model": name,
        "rows": count,
        "read": microseconds(lambda: codec.read(body, JSON, "native")),
        "read split": microseconds(lambda: codec.read(mlflow, JSON, "mlflow")),
        "predict": microseconds(lambda: codec.predict(predictor, [request.columns])),
        "by Arrow": microseconds(lambda: predictor.predict(request.table())),
        "write": microseconds(lambda: codec.respond([request], output)),
    }


def main() -> None:
    """Measure and print."""
    rows = [
        measured(name, sample, function, count)
        for name, (sample, function) in models().items()
        for count in (1, 100, 1000)
    ]
    one = rows[0]
    report.show("serving_formats", rows, direct_way=one["by Arrow"] / one["predict"])


if __name__ == "__main__":
    main()
