"""Images of models: the first of an environment, a retrained model, the same again.

    python -m benchmarks.image [--times 5]

Needs a Docker engine and a base image: MODEL_ENVELOPE_BASE_IMAGE, or the tests' own, which
`pytest tests/integration/docker` makes. The environment is that of a scikit-learn model;
its packages are in uv's cache. What it must reach: a retrained model in less than 5 s.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import uuid
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

import model_envelope as me
from benchmarks import report
from model_envelope import config, isolation
from model_envelope.deployment.engine import connected
from model_envelope.deployment.images.building import Image, ImageBuilder
from model_envelope.environment.pack import pack

_REPOSITORY = "model-envelope-benchmark"


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=5)
    given = options.parse_args()
    base = os.environ.get(config.BASE_IMAGE) or "model-envelope-test-base:bookworm"
    os.environ[config.BASE_IMAGE] = _fresh(base)
    os.environ[config.IMAGE_REPOSITORY] = _REPOSITORY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A cache of its own, so that the environment is installed and packed.
        client = me.Client(f"sqlite:///{folder}/store.sqlite", str(folder / "a"), cache=folder)
        _measure(client, folder, given.times)


def _fresh(base: str) -> str:
    """The same base under another id, on which the engine has not built anything yet."""
    with connected() as engine:
        dockerfile = io.BytesIO(f"FROM {base}\nLABEL fresh={uuid.uuid4()}\n".encode())
        engine.images.build(fileobj=dockerfile, tag=f"{_REPOSITORY}-base:fresh", rm=True)
    return f"{_REPOSITORY}-base:fresh"


def _measure(client: me.Client, folder: Path, times: int) -> None:
    builder = ImageBuilder(store=client.store, artifacts=client.artifacts, cache=folder)
    model = _save(client, 0)
    environment = model.record.manifest.environment
    start = perf_counter()
    built = isolation.ensure_service_environment(client.store, environment, folder)
    installed = perf_counter()
    pack(built)
    packed = perf_counter()
    first = builder.build(model.record)
    rows = [
        {"what": "environment installed", "seconds": installed - start},
        {"what": "environment packed", "seconds": packed - installed},
        {"what": "first image of the environment", "seconds": perf_counter() - packed},
    ]
    retrained = [_save(client, number + 1).record for number in range(times)]
    images: list[Image] = []
    seconds = report.seconds(lambda: images.append(builder.build(retrained[len(images)])), times)
    again = report.seconds(lambda: builder.build(retrained[0]), times)
    rows.append({"what": "a retrained model", "seconds": report.median(seconds)})
    rows.append({"what": "the same again", "seconds": report.median(again)})
    assert builder.build(retrained[0]) == images[0]
    with connected() as engine:
        for name in (*(image.reference for image in (first, *images)), first.dependencies):
            engine.images.remove(name, force=True)
    report.show("images", rows, retrained_seconds=report.median(seconds))


def _save(client: me.Client, seed: int) -> me.Envelope:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(1000, 10)), columns=[f"x{i}" for i in range(10)])
    model = LinearRegression().fit(frame, frame["x0"] * 2)
    return client.save_model(model, tags={"canonical_name": "m"}, api_input=frame)


if __name__ == "__main__":
    main()
