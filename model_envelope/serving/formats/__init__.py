"""What goes over the wire: bodies to tables, tables to answers, errors.

For each query function there is one `Codec`, made at start:

    codec = Codec(predictor.spec)             # SchemaError for a function without api_input
    request = codec.read(body, content_type, "native", accept=accept)    # BadRequest
    request.rows                              # what the queue counts
    table = codec.predict(predictor, [request.columns, other.columns])   # one batch
    (response,) = codec.respond([request], table)
    response.body, response.media_type, response.status, response.headers

`read` is cheap enough for the event loop; `predict` calls the model and belongs in the model's
thread, with `respond`. It takes the fastest way to the model and gives what
`Predictor.predict` gives. `read` takes `header_length=` for `/v2` (the request header
`Inference-Header-Content-Length`), and `response.headers` may hold the same for the answer.

Errors: `BadRequest` has `.status`, `.details` and `.to_json(request_id)`; every other error
of a service is written by `error_body(status, message, request_id=…)`. Routes below `/v2`
write `v2_error_body(str(error), error.details)` instead. Both are `application/json`.
"""

from model_envelope.serving.formats.codec import Codec, Dialect, Request
from model_envelope.serving.formats.columns import Columns
from model_envelope.serving.formats.media import ARROW, CSV, JSON
from model_envelope.serving.formats.refusals import BadRequest, error_body, v2_error_body
from model_envelope.serving.formats.response import Response

__all__ = [
    "ARROW",
    "CSV",
    "JSON",
    "BadRequest",
    "Codec",
    "Columns",
    "Dialect",
    "Request",
    "Response",
    "error_body",
    "v2_error_body",
]
