"""What keeps an envelope: services that run it, want it, or would go back to it."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select

from model_envelope.errors import EnvelopeInUse
from model_envelope.store.tables import deployment, service


def refuse_if_used(connection: Connection, envelope_id: str) -> None:
    """Make sure that no service needs an envelope, whose row the caller has locked.

    Raises:
        EnvelopeInUse: one does; says which and how.
    """
    columns = (service.c.live_envelope, service.c.desired_envelope, service.c.previous_envelope)
    for row in connection.execute(
        select(service.c.name, *columns)
        .where(or_(*(column == envelope_id for column in columns)))
        .order_by(service.c.name)
    ):
        if row.live_envelope == envelope_id:
            how = "runs it"
        elif row.desired_envelope == envelope_id:
            how = "is to run it"
        else:
            how = "would roll back to it"
        raise EnvelopeInUse(
            f"Envelope {envelope_id} cannot be deleted: the service {row.name!r} {how}. Undeploy "
            "that service, or deploy others to it, first."
        )
    trying = select(deployment.c.service).where(
        deployment.c.envelope_id == envelope_id, deployment.c.state == "running"
    )
    name = connection.execute(trying.limit(1)).scalar()
    if name is not None:
        raise EnvelopeInUse(
            f"Envelope {envelope_id} cannot be deleted: it is being deployed to the service "
            f"{name!r}. Wait until that has ended."
        )
