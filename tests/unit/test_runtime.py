"""The part that travels: model files, custom modules, tables in and out."""

import hashlib
import json
import mmap
import struct
import sys
import zipfile
from pathlib import Path
from types import FunctionType

import hypothesis.extra.pandas as hp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_envelope import packing, shipping
from model_envelope.errors import ArtifactCorrupted, ArtifactMissing, PredictionFailed, SchemaError
from model_envelope.runtime import bundle, inputs, schemas
from model_envelope.runtime.loading import LoadPlan
from model_envelope.runtime.modules import CustomModules, unpack
from model_envelope.runtime.spec import FunctionSpec

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
FRAMES = hp.data_frames(
    columns=[
        hp.column("float", dtype=float, elements=st.floats(allow_infinity=False)),
        hp.column("integer", dtype="int64"),
        hp.column("flag", dtype=bool),
        hp.column("text", elements=WORDS, dtype=object),
        hp.column("when", dtype="datetime64[ns]", elements=st.datetimes().map(np.datetime64)),
    ],
    index=hp.range_indexes(min_size=1, max_size=5),
)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def saved(path: Path, **functions: object) -> str:
    packing.pack(functions, path)  # type: ignore[arg-type]
    return digest(path)


def test_arrays_lie_aligned_in_the_file_and_are_shared(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    weights, bias = np.arange(100_000.0), np.arange(7, dtype="int8")

    def model(x: float) -> float:
        return float(weights.sum() + bias.sum() + x)

    sha256 = saved(path, predict=model)
    loaded = bundle.load(path, sha256=sha256)["predict"]
    assert isinstance(loaded, FunctionType)
    assert loaded(1.0) == model(1.0)
    names, closure = loaded.__code__.co_freevars, loaded.__closure__ or ()
    cells = dict(zip(names, closure, strict=True))
    found = cells["weights"].cell_contents
    assert found.ctypes.data % bundle.ALIGNMENT == 0
    owner = found
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, memoryview)
    assert isinstance(owner.obj, mmap.mmap)
    # A model that writes gets pages of its own: the file stays as it was saved.
    found[:] = 0
    assert digest(path) == sha256


def test_a_model_file_that_is_not_what_was_saved_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    sha256 = saved(path, predict=len)
    content = path.read_bytes()

    def expect(error: type[Exception], match: str, changed: bytes, named: str | None) -> None:
        path.write_bytes(changed)
        with pytest.raises(error, match=match):
            bundle.load(path, sha256=named or digest(path))

    expect(ArtifactCorrupted, "was saved", content[:-1], sha256)
    expect(ArtifactCorrupted, "is empty", b"", sha256)
    expect(ArtifactCorrupted, "is no model file", b"x" * 100, None)
    expect(ArtifactCorrupted, "header", content[:20], None)
    header = json.dumps({"format": 2}).encode()
    newer = struct.pack("<8sQ", bundle.MAGIC, len(header)) + header
    expect(ArtifactCorrupted, "format 2.*Upgrade", newer, None)
    path.unlink()
    with pytest.raises(ArtifactMissing):
        bundle.load(path, sha256=sha256)


def test_a_model_that_cannot_be_loaded_here_names_the_way_out(tmp_path: Path) -> None:
    module = tmp_path / "gone_tomorrow.py"
    module.write_text("def model(x):\n    return x\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import gone_tomorrow  # type: ignore[import-not-found]

        sha256 = saved(tmp_path / "model.bin", predict=gone_tomorrow.model)
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["gone_tomorrow"]
    with pytest.raises(PredictionFailed, match=r"gone_tomorrow.*isolated=True"):
        bundle.load(tmp_path / "model.bin", sha256=sha256)


@pytest.mark.parametrize("name", ["../evil.py", "/tmp/evil.py", "a/../../evil.py"])
def test_a_module_archive_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("fine.py", "")
        file.writestr(name, "")
    with pytest.raises(ArtifactCorrupted, match="leaves its folder"):
        unpack(archive, tmp_path / "inside" / "target")
    assert not list((tmp_path / "inside").iterdir())
    link = zipfile.ZipInfo("link.py")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(ArtifactCorrupted, match=r"link\.py"):
        unpack(archive, tmp_path / "target")


def test_two_versions_of_one_module_live_side_by_side(tmp_path: Path) -> None:
    versions = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "versioned.py").write_text(f"NUMBER = {number}\n")
        versions.append(CustomModules(folder, ["versioned"]))
    for _ in range(2):
        for number, modules in enumerate(versions, start=1):
            with modules.active():
                import versioned  # type: ignore[import-not-found]

                assert number == versioned.NUMBER
            assert "versioned" not in sys.modules


@settings(max_examples=60, deadline=None)
@given(frame=FRAMES)
def test_frames_come_through_tables_unchanged(frame: pd.DataFrame) -> None:
    frame = frame.assign(text=frame["text"].astype("str"))
    table = inputs.with_nullability(inputs.to_table(frame))
    signature = schemas.to_signature(table.schema)
    assert schemas.to_schema(signature).equals(table.schema, check_metadata=True)
    back = inputs.from_table(inputs.conform(table, signature), "frame")
    pd.testing.assert_frame_equal(back, frame)
    shuffled = table.select(list(reversed(table.column_names)))
    pd.testing.assert_frame_equal(
        inputs.from_table(inputs.conform(shuffled, signature), "frame"), frame
    )


@pytest.mark.parametrize(
    ("expected", "given_type", "fits"),
    [
        ("int64", "int32", True),
        ("int32", "int64", False),
        ("int64", "uint32", True),
        ("int64", "uint64", False),
        ("double", "float", True),
        ("float", "double", False),
        ("double", "int64", True),
        ("int64", "double", False),
        ("bool", "int8", False),
    ],
)
def test_numbers_may_widen_and_never_narrow(expected: str, given_type: str, fits: bool) -> None:
    wanted, found = (pa.type_for_alias(name) for name in (expected, given_type))
    assert schemas.accepts(wanted, found) is fits


def test_times_and_texts_fit_by_meaning() -> None:
    utc, madrid = pa.timestamp("us", "UTC"), pa.timestamp("ns", "Europe/Madrid")
    assert schemas.accepts(utc, madrid)
    assert not schemas.accepts(utc, pa.timestamp("us"))
    category = pa.dictionary(pa.int8(), pa.string())
    assert schemas.accepts(category, pa.large_string())
    assert schemas.accepts(pa.string(), category)
    assert not schemas.accepts(pa.string(), pa.int64())
    assert schemas.accepts(pa.list_(pa.float64()), pa.large_list(pa.float32()))


def test_integers_that_a_double_cannot_hold_are_refused() -> None:
    signature = schemas.to_signature(pa.schema([pa.field("x", pa.float64())]))
    with pytest.raises(SchemaError, match="column 'x'"):
        inputs.conform(pa.table({"x": [2**53 + 1]}), signature)
    assert inputs.conform(pa.table({"x": [2**53]}), signature).column("x").type == pa.float64()


def test_a_load_plan_comes_through_json() -> None:
    table = pa.table({"x": [1.0]})
    spec = FunctionSpec(name="predict", file="model.bin", input=schemas.to_signature(table.schema))
    plan = LoadPlan(envelope_id="0" * 20, function=spec, files={"model.bin": "ab"}, modules=("m",))
    assert LoadPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_the_runtime_archive_is_the_same_every_time(tmp_path: Path) -> None:
    first = shipping.runtime_archive(tmp_path)
    assert shipping.runtime_archive(tmp_path) == first
    names = zipfile.ZipFile(first).namelist()
    assert "model_envelope/runtime/bundle.py" in names
    assert not [name for name in names if "store" in name or "client" in name]
