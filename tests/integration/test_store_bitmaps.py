"""The bitmap index of tags says what the tags say, whatever happened to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, insert, select, text

from model_envelope.envelope import Environment, Manifest, Provenance
from model_envelope.names import new_id
from model_envelope.store import opening
from model_envelope.store.bitmaps import BLOCK
from model_envelope.store.engine import make_engine, parse_url
from model_envelope.store.opening import VERSION_TABLE, open_store, upgrade
from model_envelope.store.store import Store
from model_envelope.store.tables import envelope, tag, tag_bitmap
from model_envelope.tag_query import parse

HOUR = timedelta(hours=1)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as store:
        yield store


def save(store: Store, tags: dict[str, str]) -> str:
    """The id of a new envelope without files."""
    manifest = Manifest(
        id=new_id(),
        created_at=datetime.now(UTC),
        functions={},
        files={},
        environment=Environment(python="3", platform="x", distributions=(), digest="d"),
        provenance=Provenance(),
    )
    store.begin_upload(manifest.id, HOUR)
    store.commit_envelope(
        manifest=manifest,
        manifest_sha256="0" * 64,
        description="",
        tags=tags,
        save_key=new_id(),
    )
    return manifest.id


def check(url: str) -> int:
    """Hold the bits to the tags of what is not deleted; gives how many tags there are."""
    engine = create_engine(url)
    with engine.connect() as connection:
        tags, bits = tagged(connection), marked(connection)
    engine.dispose()
    assert bits == tags
    return sum(map(len, tags.values()))


def tagged(connection: Connection) -> dict[tuple[str, str], set[int]]:
    live = select(envelope.c.id).where(envelope.c.deleted_at.is_(None))
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in connection.execute(select(tag).where(tag.c.envelope_id.in_(live))):
        found[row.key, row.value].add(row.revision)
    return found


def marked(connection: Connection) -> dict[tuple[str, str], set[int]]:
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in connection.execute(select(tag_bitmap)):
        bits = int.from_bytes(row.bits, "little")
        assert bits, "an empty row should have gone"
        places = {place for place in range(BLOCK) if bits >> place & 1}
        found[row.key, row.value] |= {row.block * BLOCK + place for place in places}
    return found


def test_bits_follow_every_change_of_tags(store: Store, store_url: str) -> None:
    first, second, third = (save(store, {"region": "US", "run": str(i)}) for i in range(3))
    assert check(store_url) == 6
    store.set_tags(first, {"region": "UK", "passes_tests": "true"})
    assert check(store_url) == 7
    store.remove_tags(first, ["region", "nothing"])
    assert check(store_url) == 6
    store.delete(second, HOUR)
    assert check(store_url) == 4
    store.undelete(second)
    assert check(store_url) == 6
    store.archive(third)
    assert check(store_url) == 6


def test_bits_of_savers_at_once_are_all_kept(store: Store, store_url: str) -> None:
    def work(i: int) -> None:
        envelope_id = save(store, {"region": "US", "run": str(i)})
        store.set_tags(envelope_id, {"passes_tests": "true"})
        store.set_tags(envelope_id, {"region": "UK" if i % 2 else "US"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert check(store_url) == 120
    query = parse("region == 'UK' and passes_tests == 'true'")
    assert store.count(query) == 20


@pytest.fixture(params=["sqlite", "postgres"])
def older_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store as version 0002 left it, with tags in it, some of a deleted envelope."""
    postgres = request.param == "postgres"
    file = tmp_path / "older.sqlite"
    url = str(request.getfixturevalue("postgres_url")) if postgres else f"sqlite:///{file}"
    engine = make_engine(parse_url(url))
    with engine.begin() as connection:
        scripts = Config(attributes={"connection": connection, "version_table": VERSION_TABLE})
        folder = Path(opening.__file__).parent / "migrations"
        scripts.set_main_option("script_location", str(folder))
        command.upgrade(scripts, "0002")
        revisions = [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK]
        connection.execute(insert(envelope), [row(revision) for revision in revisions])
        connection.execute(
            insert(tag),
            [
                {"key": key, "value": value, "revision": r, "envelope_id": f"{r:020x}"}
                for r in revisions
                for key, value in {"region": "US", "run's": f"№{r}"}.items()
            ],
        )
        connection.execute(text("UPDATE clock SET revision = 50000"))
        deleted = envelope.c.revision == 2
        connection.execute(envelope.update().where(deleted).values(deleted_at=MOMENT))
    engine.dispose()
    return url


def row(revision: int) -> dict[str, object]:
    return {
        "id": f"{revision:020x}",
        "revision": revision,
        "updated_revision": revision,
        "save_key": f"{revision:020x}",
        "created_at": MOMENT,
        "description": "",
        "archived": False,
        "manifest_sha256": "0" * 64,
        "manifest": "{}",
        "environment_digest": "d",
        "reproducible": "unproved",
        "reproducible_reason": "",
    }


def test_the_tags_of_an_older_store_get_their_bits(older_url: str) -> None:
    upgrade(older_url)
    assert check(older_url) == 10
    with open_store(older_url) as store:
        envelope_id = save(store, {"region": "US"})
        store.undelete(f"{2:020x}")
        assert check(older_url) == 13
        store.remove_tags(envelope_id, ["region"])
    assert check(older_url) == 12
