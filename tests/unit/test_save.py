"""What `save_model` derives, and what it refuses."""

import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import model_envelope as me
from model_envelope.errors import (
    ArtifactCorrupted,
    ArtifactMissing,
    EnvelopeNotFound,
    EnvironmentNotCapturable,
    InvalidInput,
    InvalidTag,
    ModelNotPicklable,
    PredictionFailed,
    SaveConflict,
    SchemaError,
)

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [10, 20, 30, 40]})
TAGS = {"canonical_name": "test"}


class Doubler:
    """An object with `.predict`, and a method that becomes a query function."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, frame):  # type: ignore[no-untyped-def]
        """Twice the column a."""
        return frame["a"] * self.factor

    def explain(self, frame):  # type: ignore[no-untyped-def]
        return pd.DataFrame({"from_a": frame["a"], "factor": self.factor})


def by_value(cls: type) -> type:
    """The class as a script would define it: in `__main__`."""
    cls.__module__ = "__main__"
    return cls


by_value(Doubler)


def test_functions_methods_closures_lambdas_and_objects_are_saved() -> None:
    doubler = Doubler(2.0)
    factor = 2.0
    pipeline = make_pipeline(StandardScaler(), LinearRegression()).fit(FRAME, FRAME["a"] * 2)

    def closure(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] * factor

    for model in (closure, lambda f: f["a"] * 2.0, doubler, doubler.predict, pipeline):
        envelope = me.save_model(model, tags=TAGS, api_input=FRAME)
        assert np.allclose(me.predict(envelope, FRAME), [2.0, 4.0, 6.0, 8.0])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda f: f["a"] + f["b"], pd.Series([11.0, 22.0, 33.0, 44.0])),
        (
            lambda f: f[["b"]].rename(columns={"b": "twice"}) * 2,
            pd.DataFrame({"twice": [20, 40, 60, 80]}),
        ),
        (lambda f: f["a"].to_numpy(), np.array([1.0, 2.0, 3.0, 4.0])),
        (lambda f: f.to_numpy(), FRAME.to_numpy()),
        (lambda f: list(f["b"]), pd.Series([10, 20, 30, 40])),
        (lambda f: [{"x": int(b)} for b in f["b"]], [{"x": 10}, {"x": 20}, {"x": 30}, {"x": 40}]),
        (lambda f: f["a"].sort_values(ascending=False), pd.Series([1.0, 2.0, 3.0, 4.0], name="a")),
    ],
    ids=["series", "frame", "array", "matrix", "list", "records", "sorted by value"],
)
def test_outputs_come_back_in_the_form_the_model_gave(function: object, expected: object) -> None:
    envelope = me.save_model(function, tags=TAGS, api_input=FRAME)
    found = me.predict(envelope, FRAME)
    if isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected)
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


def test_arrays_dicts_and_records_are_inputs() -> None:
    matrix = np.arange(12.0).reshape(4, 3)
    by_array = me.save_model(lambda x: x.sum(axis=1), tags=TAGS, api_input=matrix)
    assert by_array.input is not None
    assert by_array.input.names == ("x0", "x1", "x2")
    np.testing.assert_array_equal(me.predict(by_array, matrix), matrix.sum(axis=1))
    with pytest.raises(SchemaError, match="2 columns, but the model takes 3"):
        me.predict(by_array, matrix[:, :2])

    vector = me.save_model(lambda x: x * 2, tags=TAGS, api_input=np.array([1.0, 2.0]))
    np.testing.assert_array_equal(me.predict(vector, np.array([5.0])), [10.0])

    images = np.arange(24.0).reshape(2, 3, 4)
    tensor = me.save_model(lambda x: x.sum(axis=(1, 2)), tags=TAGS, api_input=images)
    np.testing.assert_array_equal(me.predict(tensor, images), images.sum(axis=(1, 2)))

    row = me.save_model(lambda row: row["n"] * 2, tags=TAGS, api_input={"n": 3})
    assert row.functions["predict"].rows == "single"
    assert me.predict(row, {"n": 4}) == 8

    records = me.save_model(
        lambda rows: [r["n"] + 1 for r in rows], tags=TAGS, api_input=[{"n": 1}, {"n": 2}]
    )
    assert list(me.predict(records, [{"n": 7}])) == [8]


def test_a_function_of_one_row_is_found_out() -> None:
    def one(frame: pd.DataFrame) -> float:
        if len(frame) != 1:
            raise ValueError("one at a time")
        return float(frame["a"].iloc[0]) * 3

    envelope = me.save_model(one, tags=TAGS, api_input=FRAME)
    assert envelope.functions["predict"].rows == "single"
    assert list(me.predict(envelope, FRAME)) == [3.0, 6.0, 9.0, 12.0]

    total = me.save_model(lambda f: float(f["a"].sum()), tags=TAGS, api_input=FRAME)
    assert total.functions["predict"].rows == "single"
    with pytest.raises(PredictionFailed, match="rows='single'"):
        me.save_model(lambda f: float(f["a"].sum()), tags=TAGS, api_input=FRAME, rows="many")


def test_functions_whose_rows_depend_on_each_other_are_found_out() -> None:
    alone = me.save_model(lambda f: f["a"] * 2, tags=TAGS, api_input=FRAME)
    ranks = me.save_model(lambda f: f["a"].rank(), tags=TAGS, api_input=FRAME)
    assert alone.functions["predict"].row_independent is True
    assert ranks.functions["predict"].row_independent is False


def test_column_types_survive_into_the_model() -> None:
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "zoned": pd.date_range("2026-01-01", periods=3, tz="Europe/Madrid"),
            "category": pd.Categorical(["x", "y", "x"], categories=["z", "y", "x"]),
            "text": pd.array(["a", None, "c"], dtype="str"),
            "nested": [[1, 2], [], [3]],
            "flag": [True, False, True],
        }
    )
    seen: dict[str, object] = {}

    def look(given: pd.DataFrame) -> pd.Series:
        assert given.dtypes.astype(str).to_dict() == {
            "nullable": "Int64",
            "zoned": f"datetime64[{frame['zoned'].dt.unit}, Europe/Madrid]",
            "category": "category",
            "text": "str",
            "nested": "object",
            "flag": "bool",
        }
        assert list(given["category"].cat.categories) == ["z", "y", "x"]
        return given["nullable"]

    envelope = me.save_model(look, tags=TAGS, api_input=frame)
    assert envelope.input is not None
    nullable = {c.name for c in envelope.input.columns if c.nullable}
    assert nullable == {"nullable", "text"}
    found = me.predict(envelope, frame)
    assert found.tolist()[::2] == [1, 3]
    assert pd.isna(found[1])
    with pytest.raises(SchemaError, match="'w' is none of the 3 categories"):
        me.predict(envelope, frame.assign(category=["w", "y", "x"]))
    assert not seen


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (FRAME.iloc[:0], "no rows"),
        (pd.DataFrame(index=[0, 1]), "no columns"),
        (FRAME.rename(columns={"a": 7}), "column 7 is no string"),
        (pd.concat([FRAME, FRAME[["a"]]], axis=1), "'a' is there more than once"),
        (FRAME.set_index("a"), "reset_index"),
        (FRAME.assign(a=pd.Series([1, "x", None, 2.0], dtype="object")), "mixed or unknown types"),
        (FRAME.assign(a=None), "nothing but missing values"),
        (FRAME.set_axis(pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]), axis=1), "several levels"),
        ([], "empty"),
        ("text", "builtins.str"),
        (np.array([object()]), "array of object"),
    ],
)
def test_inputs_that_cannot_be_described_say_what_to_do(data: object, complaint: str) -> None:
    with pytest.raises(SchemaError, match=complaint):
        me.save_model(lambda f: f, tags=TAGS, api_input=data)
    assert me.count({}) == 0


def test_api_input_is_left_out_only_on_purpose() -> None:
    with pytest.raises(InvalidInput, match="api_input is missing"):
        me.save_model(lambda x: x, tags=TAGS)
    envelope = me.save_model(lambda x, y: x + y, tags=TAGS, api_input=None)
    assert envelope.input is None
    assert me.load(envelope)(1, y=2) == 3
    with pytest.raises(PredictionFailed, match="without api_input"):
        me.predict(envelope, FRAME)


def test_a_prediction_of_other_data_is_refused_with_the_differences() -> None:
    envelope = me.save_model(lambda f: f["a"] + f["b"], tags=TAGS, api_input=FRAME)
    wrong = pd.DataFrame({"a": [1.0, float("nan")], "bb": [1, 2]})
    with pytest.raises(SchemaError, match=r"column 'b' is missing: int64 .* \(there is 'bb'\)"):
        me.predict(envelope, wrong)
    with pytest.raises(SchemaError, match="'b' is string, but int64 is expected"):
        me.predict(envelope, FRAME.assign(b="x"))
    with pytest.raises(SchemaError, match="'a' has 1 missing values in 2 rows"):
        me.predict(envelope, FRAME.assign(a=[1.0, np.nan, 2.0, 3.0]).iloc[:2])
    more = FRAME.assign(unused="x", b=FRAME["b"].astype("int32"))
    assert list(me.predict(envelope, more)) == [11.0, 22.0, 33.0, 44.0]
    assert len(me.predict(envelope, FRAME.iloc[:0])) == 0


def test_api_output_gives_the_type_that_the_sample_does_not_show() -> None:
    frame = FRAME.assign(a=0.0)

    def maybe(given: pd.DataFrame) -> list[float | None]:
        return [a if a > 1 else None for a in given["a"]]

    with pytest.raises(SchemaError, match="api_output="):
        me.save_model(maybe, tags=TAGS, api_input=frame)
    envelope = me.save_model(maybe, tags=TAGS, api_input=frame, api_output=[1.5])
    assert list(me.predict(envelope, FRAME))[1:] == [2.0, 3.0, 4.0]


def test_golden_rows_hold_the_rows_with_missing_values() -> None:
    frame = pd.DataFrame({"a": np.arange(500.0)})
    frame.loc[321, "a"] = None
    envelope = me.save_model(lambda f: f["a"] + 1, tags=TAGS, api_input=frame, golden_rows=5)
    given, expected = envelope.golden()
    assert list(given["a"].dropna()) == [0.0, 125.0, 250.0, 374.0, 499.0]
    assert given["a"].isna().sum() == 1
    pd.testing.assert_series_equal(expected["a"], given["a"] + 1)


def test_statistics_describe_all_of_the_data() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=20_000), "s": rng.choice(["u", "v"], 20_000, p=[0.9, 0.1])}
    )
    frame.loc[:99, "x"] = None
    found = me.save_model(lambda f: f["x"], tags=TAGS, api_input=frame).statistics
    x = found["x"]
    assert (x["count"], x["missing"]) == (20_000, 100)
    assert x["mean"] == pytest.approx(frame["x"].mean())
    assert x["std"] == pytest.approx(frame["x"].std())
    assert (x["min"], x["max"]) == (frame["x"].min(), frame["x"].max())
    ranks = [(frame["x"].dropna() <= q).mean() for q in x["quantiles"]]
    assert np.allclose(ranks, np.linspace(0, 1, 21), atol=0.02)
    assert dict(found["s"]["top"]) == frame["s"].value_counts().to_dict()
    assert found["s"]["distinct"] == 2


def test_query_functions_share_the_model_and_can_be_added_later() -> None:
    envelope = me.save_model(
        Doubler(2.0), tags=TAGS, api_input=FRAME, query_functions={"explain": "explain"}
    )
    assert list(me.predict(envelope, FRAME, function="explain").columns) == ["from_a", "factor"]
    assert envelope.functions["predict"].doc == "Twice the column a."
    again = me.get(envelope.id).add_query_function("half", lambda f: f["a"] / 2)
    assert list(again.functions) == ["predict", "explain", "half"]
    assert list(me.get(envelope.id).predict(FRAME, function="half")) == [0.5, 1.0, 1.5, 2.0]
    with pytest.raises(InvalidInput, match="has a query function 'half' already"):
        again.add_query_function("half", lambda f: f["a"])
    with pytest.raises(InvalidInput, match="no query function 'nope'; it has predict"):
        me.predict(envelope, FRAME, function="nope")
    with pytest.raises(InvalidInput, match="name of a method"):
        me.save_model(Doubler(1.0), tags=TAGS, api_input=FRAME, query_functions={"x": "missing"})


def test_what_cannot_be_pickled_is_named() -> None:
    class Holder:
        def __init__(self) -> None:
            self.parts = {"lock": threading.Lock()}

        def predict(self, frame: pd.DataFrame) -> pd.Series:
            return frame["a"]

    with pytest.raises(ModelNotPicklable, match=r"parts\['lock'\] is a _thread.lock"):
        me.save_model(by_value(Holder)(), tags=TAGS, api_input=FRAME)
    lock = threading.Lock()
    with pytest.raises(ModelNotPicklable, match=r"lock is a _thread\.lock"):
        me.save_model(lambda f: f["a"] if lock else None, tags=TAGS, api_input=FRAME)
    with pytest.raises(InvalidInput, match="is a class"):
        me.save_model(LinearRegression, tags=TAGS, api_input=FRAME)
    with pytest.raises(InvalidInput, match="pass a function"):
        me.save_model(42, tags=TAGS, api_input=FRAME)


@pytest.mark.parametrize(
    "tags",
    [
        {"n": 1},
        {"": "x"},
        {"x": ""},
        {"x": "a" * 10_000},
        {"x": "a\n"},
        {"x\0": "a"},
        {"x": "\u202eevil"},
        {"x": "zero\u200bwidth"},
        {f"k{i}": "v" for i in range(1001)},
        ["canonical_name"],
    ],
)
def test_tags_that_are_no_text_are_refused_before_any_work(tags: object) -> None:
    called: list[object] = []
    with pytest.raises(InvalidTag):
        me.save_model(called.append, tags=tags, api_input=FRAME)  # type: ignore[arg-type]
    assert called == []


def test_hostile_tags_are_stored_to_the_letter_and_escaped() -> None:
    value = "' OR 1=1-- <script>alert(1)</script>"
    envelope = me.save_model(lambda f: f["a"], tags={"x": value}, api_input=FRAME)
    assert me.latest({"x": value}).id == envelope.id
    html = envelope._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_custom_modules_travel_and_leave_no_trace(tmp_path: Path) -> None:
    package = tmp_path / "my_features"
    package.mkdir()
    (package / "__init__.py").write_text("from my_features.scale import scale\n")
    (package / "scale.py").write_text("FACTOR = 5\ndef scale(f):\n    return f['a'] * FACTOR\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import my_features  # type: ignore[import-not-found]

        with pytest.raises(EnvironmentNotCapturable, match=r"modules=\[my_features\]"):
            me.save_model(my_features.scale, tags=TAGS, api_input=FRAME)
        envelope = me.save_model(
            my_features.scale, tags=TAGS, api_input=FRAME, modules=[my_features]
        )
        (package / "scale.py").write_text("raise RuntimeError('changed since')\n")
        model = me.load(envelope)
        assert list(model.predict(FRAME)) == [5.0, 10.0, 15.0, 20.0]
        assert sys.modules["my_features"] is my_features
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.startswith("my_features")]:
            del sys.modules[name]
    assert list(model.predict(FRAME)) == [5.0, 10.0, 15.0, 20.0]
    assert not [name for name in sys.modules if name.startswith("my_features")]
    part = types.ModuleType("my_features.scale")
    with pytest.raises(InvalidInput, match="is a part of"):
        me.save_model(lambda f: f["a"], tags=TAGS, api_input=FRAME, modules=[part])


def test_imports_inside_functions_count() -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        from scipy import special

        return pd.Series(special.expit(frame["a"]))

    names = {
        d.name for d in me.save_model(model, tags=TAGS, api_input=FRAME).environment.distributions
    }
    assert {"scipy", "numpy", "pandas", "pyarrow", "cloudpickle"} <= names
    assert not {"scikit-learn", "apache-airflow", "model-envelope"} & names


def test_a_save_key_makes_a_retry_harmless() -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"]

    first = me.save_model(model, tags=TAGS, api_input=FRAME, save_key="run-1")
    again = me.save_model(model, tags=TAGS, api_input=FRAME, save_key="run-1")
    assert again.id == first.id
    assert me.count({}) == 1
    with pytest.raises(SaveConflict, match="another model"):
        me.save_model(lambda f: f["b"], tags=TAGS, api_input=FRAME, save_key="run-1")


def test_a_changed_or_missing_file_is_never_loaded(home: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Canary:
        def __reduce__(self) -> tuple[object, ...]:
            return os.open, (str(canary), os.O_CREAT)

    envelope = me.save_model(lambda f: f["a"], tags=TAGS, api_input=FRAME)
    trap = Canary()
    hostile = me.save_model(lambda f: (f["a"], trap)[0], tags=TAGS, api_input=FRAME)
    assert not canary.exists()
    folder = home / "artifacts"
    good, bad = folder / envelope.id / "model.bin", folder / hostile.id / "model.bin"
    good.chmod(0o600)
    good.write_bytes(bad.read_bytes())
    with pytest.raises(ArtifactCorrupted, match=r"model\.bin"):
        me.load(envelope)
    assert not canary.exists()
    good.unlink()
    with pytest.raises(ArtifactMissing):
        me.load(envelope)
    content = bytearray(bad.read_bytes())
    content[-1] ^= 1
    bad.chmod(0o600)
    bad.write_bytes(content)
    with pytest.raises(ArtifactCorrupted):
        me.load(hostile)
    assert not canary.exists()


def test_finding_says_why_nothing_matches() -> None:
    with pytest.raises(EnvelopeNotFound, match=r"is empty\. Save a model first"):
        me.latest("region == 'US'")
    model = me.save_model(lambda f: f["a"], tags={**TAGS, "region": "US"}, api_input=FRAME)
    with pytest.raises(EnvelopeNotFound, match=rf"1 envelope matches all but .*{model.id} has"):
        me.latest("region == 'US' and passes_tests == 'true'")
    clauses = me.why("region == 'US' and passes_tests == 'true'", model)
    assert [clause.holds for clause in clauses] == [True, False, True]
    model.set_tags(passes_tests="true")
    assert me.latest("region == 'US' and passes_tests == 'true'").id == model.id


def test_metrics_order_queries_and_are_read_back() -> None:
    def model(frame: pd.DataFrame) -> pd.Series:
        return frame["a"]

    low = me.save_model(model, tags=TAGS, api_input=FRAME, metrics={"auc": 0.7})
    high = me.save_model(model, tags=TAGS, api_input=FRAME).log_metrics(auc=0.9)
    none = me.save_model(model, tags=TAGS, api_input=FRAME, hyperparameters={"depth": 3})
    assert [e.id for e in me.query({})] == [none.id, high.id, low.id]
    assert [e.id for e in me.query({}, order_by="metric:auc")][:2] == [high.id, low.id]
    assert me.latest("metric.auc > 0.8").id == high.id
    assert none.hyperparameters() == {"depth": 3}
    curve = me.metrics.RocCurve.from_scores([0, 1, 0, 1], [0.1, 0.9, 0.4, 0.3])
    high.log_metrics(roc_curve=curve, losses=[3.0, 2.0, 1.0])
    found = high.metrics()
    assert found["roc_curve"] == curve
    assert found["roc_curve.auc"] == pytest.approx(0.75)
    frame = me.metrics.frame({}, "auc", tags=["canonical_name"])
    assert sorted(frame["value"]) == [0.7, 0.9]
    assert set(frame["canonical_name"]) == {"test"}
    assert high.plot("roc_curve").rows
    assert me.plot({}, "auc").rows


def test_archived_and_deleted_envelopes_are_out_of_the_way() -> None:
    envelope = me.save_model(lambda f: f["a"], tags=TAGS, api_input=FRAME)
    envelope.archive()
    assert me.query(TAGS) == []
    assert me.query("archived") == [envelope]
    envelope.unarchive().delete()
    assert me.count({}, include_archived=True) == 0
    assert envelope.undelete().tags == TAGS
    kinds = [change.kind for change in envelope.history()]
    assert kinds == ["saved", "archived", "unarchived", "deleted", "undeleted"]


def test_the_terminal_shows_one_envelope_in_a_few_lines() -> None:
    envelope = me.save_model(lambda f: f["a"], tags=TAGS, api_input=FRAME, description="Says a.")
    lines = repr(envelope).splitlines()
    assert lines[0] == f"Envelope {envelope.id}"
    assert "  description  Says a." in lines
    assert "  predict      a: double, b: int64 -> a: double?" in lines


def test_importing_the_package_imports_nothing_of_others() -> None:
    heavy = ["pandas", "numpy", "pyarrow", "sqlalchemy", "airflow", "pyspark", "boto3", "docker"]
    code = f"import sys, model_envelope; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these() -> None:
    for name in me.__all__:
        assert getattr(me, name) is not None
    assert set(dir(me)) == set(me.__all__)
