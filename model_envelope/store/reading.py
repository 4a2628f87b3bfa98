"""Finding envelopes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from model_envelope.envelope import EnvelopeRecord, FileRef, Manifest
from model_envelope.errors import EnvelopeNotFound, InvalidInput, InvalidName
from model_envelope.runtime.spec import FunctionSpec
from model_envelope.store import tag_sql
from model_envelope.store.rows import TagFacet
from model_envelope.store.tables import envelope, query_function, tag
from model_envelope.tag_query import TagQuery

PREFIX = re.compile(r"[0-9a-f]{4,20}")

live: ColumnElement[bool] = envelope.c.deleted_at.is_(None)


def get(connection: Connection, envelope_id: str) -> EnvelopeRecord:
    """An envelope by its id.

    Raises:
        EnvelopeNotFound: there is none, or it was deleted.
    """
    found = _load(connection, live, envelope.c.id == envelope_id)
    if not found:
        raise not_found(envelope_id)
    return found[0]


def not_found(envelope_id: str) -> EnvelopeNotFound:
    """The error of an id that is of no envelope."""
    return EnvelopeNotFound(
        f"There is no envelope {envelope_id} in this store, or it was deleted. "
        f"`model-envelope show {envelope_id} --history` tells which."
    )


def resolve(connection: Connection, prefix: str) -> EnvelopeRecord:
    """An envelope by the first digits of its id.

    Raises:
        InvalidName: fewer than four digits, or something else.
        EnvelopeNotFound: no id starts so.
        InvalidInput: several do.
    """
    if not isinstance(prefix, str) or not PREFIX.fullmatch(prefix):
        raise InvalidName(
            f"{prefix!r:.60} is no envelope id: give its 20 hexadecimal digits, or "
            "at least the first 4."
        )
    # Every digit sorts before "g", in every collation.
    starts = and_(envelope.c.id >= prefix, envelope.c.id < f"{prefix}g")
    found = connection.scalars(select(envelope.c.id).where(live, starts).limit(5)).all()
    if not found:
        raise not_found(prefix)
    if len(found) > 1:
        raise InvalidInput(f"{prefix} is ambiguous: {', '.join(found)}. Give more digits.")
    return get(connection, found[0])


def by_save_key(connection: Connection, save_key: str) -> EnvelopeRecord | None:
    """The envelope that was saved under a key, even if it was deleted since."""
    found = _load(connection, envelope.c.save_key == save_key)
    return found[0] if found else None


def latest(connection: Connection, query: TagQuery) -> EnvelopeRecord | None:
    """The match that was committed last."""
    found = tag_sql.latest(query, connection)
    return None if found is None else get(connection, found)


def by_dag_run(connection: Connection, dag_run: str, limit: int) -> list[EnvelopeRecord]:
    """What a run of a DAG saved, the latest first; see `lineage`."""
    chosen = select(envelope).where(live, envelope.c.dag_run == dag_run)
    newest = chosen.order_by(envelope.c.revision.desc()).limit(limit)
    return load(connection, connection.execute(newest).all())


def tag_facets(
    connection: Connection, query: TagQuery, keys: Collection[str] | None, top: int
) -> tuple[TagFacet, ...]:
    """The tags of the matching envelopes, most frequent first."""
    # Not `tag` itself: the query's own look-ups there must not become part of this join.
    counted = tag.alias("counted")
    chosen = (
        select(counted.c.key, counted.c.value, func.count())
        .join(envelope, envelope.c.id == counted.c.envelope_id)
        .where(tag_sql.narrowed(query, connection))
        .group_by(counted.c.key, counted.c.value)
    )
    if keys is not None:
        chosen = chosen.where(counted.c.key.in_(keys))
    values: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for key, value, n in connection.execute(chosen):
        values[key].append((value, n))
    facets = [
        TagFacet(
            key=key,
            envelopes=sum(n for _, n in found),
            values=tuple(sorted(found, key=lambda item: (-item[1], item[0]))[:top]),
        )
        for key, found in values.items()
    ]
    return tuple(sorted(facets, key=lambda facet: (-facet.envelopes, facet.key)))


def tags_of(connection: Connection, ids: Sequence[str]) -> Mapping[str, dict[str, str]]:
    """The tags of envelopes, in the order of their keys."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    rows = select(tag.c.envelope_id, tag.c.key, tag.c.value).where(tag.c.envelope_id.in_(ids))
    for envelope_id, key, value in sorted(connection.execute(rows)):
        found[envelope_id][key] = value
    return found


def load(connection: Connection, rows: Sequence[Row[Any]]) -> list[EnvelopeRecord]:
    """The records of rows of `envelope`, in their order."""
    ids = [row.id for row in rows]
    if not ids:
        return []
    tags = tags_of(connection, ids)
    functions = _functions_of(connection, ids)
    return [_record(row, tags[row.id], functions[row.id]) for row in rows]


def by_ids(connection: Connection, ids: Sequence[str]) -> list[EnvelopeRecord]:
    """The records of some ids, in their order."""
    found = {record.id: record for record in _load(connection, envelope.c.id.in_(ids))}
    return [found[envelope_id] for envelope_id in ids]


def there(connection: Connection, ids: Collection[str]) -> dict[str, EnvelopeRecord]:
    """Those of some envelopes that were not deleted."""
    return {record.id: record for record in _load(connection, live, envelope.c.id.in_(ids))}


def _load(connection: Connection, *where: ColumnElement[bool]) -> list[EnvelopeRecord]:
    return load(connection, connection.execute(select(envelope).where(*where)).all())


def _functions_of(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    rows = select(query_function).where(query_function.c.envelope_id.in_(ids))
    for row in connection.execute(rows.order_by(query_function.c.name)):
        found[row.envelope_id].append(row)
    return found


def _record(row: Row[Any], tags: dict[str, str], functions: list[Row[Any]]) -> EnvelopeRecord:
    files: dict[str, FileRef] = {}
    for function in functions:
        files |= msgspec.json.decode(function.files, type=dict[str, FileRef])
    return EnvelopeRecord(
        id=row.id,
        revision=row.revision,
        description=row.description,
        tags=tags,
        manifest=Manifest.from_bytes(row.manifest.encode()),
        manifest_sha256=row.manifest_sha256,
        archived=row.archived,
        added_functions={
            function.name: msgspec.json.decode(function.spec, type=FunctionSpec)
            for function in functions
        },
        added_files=files,
        reproducible=row.reproducible,
        reproducible_reason=row.reproducible_reason,
    )
