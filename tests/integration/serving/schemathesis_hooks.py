"""What Schemathesis is told about our services; it imports this by SCHEMATHESIS_HOOKS."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

ARROW = "application/vnd.apache.arrow.stream"
UTC = st.just(datetime.UTC)

schemathesis.openapi.format("date-time", st.datetimes(timezones=UTC).map(lambda t: t.isoformat()))
schemathesis.openapi.format("local-date-time", st.datetimes().map(lambda t: t.isoformat()))
schemathesis.openapi.media_type(ARROW, st.binary(max_size=200))


@schemathesis.deserializer(ARROW)
def read_arrow(ctx: Any, response: Any) -> Any:
    return pa.ipc.open_stream(response.content).read_all().to_pylist()


@schemathesis.check
def records_of_the_schema_are_predicted(ctx: Any, response: Any, case: Any) -> None:
    """All that the schema of a record allows is predicted, whatever the model's types are.

    (Of other bodies a schema cannot say all: columns must be of one length.)
    """
    positive = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if not positive or case.path != "/predict" or case.media_type != "application/json":
        return
    rows = case.body if isinstance(case.body, list) else [case.body]
    if all(isinstance(row, dict) and row.keys() != {"columns"} for row in rows):
        assert response.status_code == 200, response.text


@schemathesis.check
class EverythingAnswersOnce:
    """Every operation was answered well at least once, so that the run says something."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.answered: set[str] = set()

    def after_response(self, ctx: Any, response: Any, case: Any) -> None:
        self.tried.add(case.operation.label)
        if response.status_code == 200:
            self.answered.add(case.operation.label)

    def after_run(self, ctx: Any) -> None:
        assert self.tried == self.answered, self.tried - self.answered
