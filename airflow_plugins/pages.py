"""Pages about envelopes in Airflow's web server. They only read the store."""

from __future__ import annotations

from html import escape

from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from model_envelope.client.rendering import as_html
from model_envelope.errors import EnvelopeError, EnvelopeNotFound, InvalidInput
from model_envelope.operators.hook import DEFAULT_CONNECTION, ModelEnvelopeHook

app = FastAPI(title="Model Envelope", openapi_url=None)

NO_SCRIPTS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
caption { font-size: 1.3rem; font-weight: 600; text-align: left; padding-bottom: .5rem }
th { padding: .2rem 1rem .2rem 0; white-space: nowrap } td { overflow-wrap: anywhere }
"""


@app.get("/m/{envelope_id}", dependencies=[Depends(requires_access_dag("GET"))])
def envelope(envelope_id: str, connection: str = DEFAULT_CONNECTION) -> HTMLResponse:
    """One envelope, for whoever may see DAGs."""
    try:
        with ModelEnvelopeHook(connection).store() as store:
            record = store.resolve(envelope_id)
    except (EnvelopeNotFound, InvalidInput, AirflowNotFoundException) as error:
        return _page("Not found", f"<p>{escape(str(error))}</p>", 404)
    except EnvelopeError as error:
        return _page("Not available", f"<p>{escape(str(error))}</p>", 503)
    return _page(f"Envelope {record.id}", as_html(record))


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>",
        status,
        NO_SCRIPTS,
    )
