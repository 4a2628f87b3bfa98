"""What a Spark program of this package is given, and what it says afterwards: plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_envelope.batch.request import BatchRequest
from model_envelope.runtime.loading import LoadPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One batch prediction, resolved: which model, from where, over what.

    `directory` has the model's files on this machine; None where they travel with the job
    (`spark.files`) under `shipped_name`. `result` is where the outcome is written.
    """

    request: BatchRequest
    plan: LoadPlan
    directory: str | None
    result: str

    def write(self, path: Path) -> None:
        """Write the job where nobody else can read it: it may hold credentials."""
        body = {
            "request": self.request.to_json(),
            "plan": self.plan.to_json(),
            "directory": self.directory,
            "result": self.result,
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(body))

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read `write` again."""
        body: Mapping[str, Any] = json.loads(path.read_text())
        return cls(
            request=BatchRequest.from_json(body["request"]),
            plan=LoadPlan.from_json(body["plan"]),
            directory=body["directory"],
            result=body["result"],
        )


def shipped_name(name: str, sha256: str) -> str:
    """The name under which a model's file travels: unlike any other job's."""
    return f"{sha256[:16]}-{name}"
