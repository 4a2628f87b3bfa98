"""A client of the Open Inference Protocol that is not ours: tritonclient, in JSON and binary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton

from model_envelope.serving.plan import ServicePlan
from tests.integration.serving.support import Service

FRAME = pd.DataFrame(
    {
        "price": [0.1, np.nan, 2.5],
        "count": pd.array([2**53 + 1, 2, 3], "int64"),
        "small": np.array([1, 2, 3], "uint8"),
        "share": np.array([0.1, 0.2, 0.3], "float32"),
        "new": [True, False, True],
        "kind": pd.Categorical(["x", "é", "x"]),
        "when": pd.to_datetime(["2024-01-01", "2024-02-29", "2024-03-01"]),
    }
)
BINARY = pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])


def tensor(name: str, values: Any, datatype: str, *, binary: bool) -> Any:
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


@BINARY
def test_each_column_is_a_tensor(
    make_plan: Callable[..., ServicePlan], serve: Callable[..., Service], binary: bool
) -> None:
    def echo(frame: pd.DataFrame) -> pd.DataFrame:
        return frame

    service = serve(make_plan(echo, FRAME))
    client = triton.InferenceServerClient(f"127.0.0.1:{service.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("predict")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata("predict")
    datatypes = {each["name"]: each["datatype"] for each in metadata["inputs"]}
    assert list(datatypes.values()) == ["FP64", "INT64", "UINT8", "FP32", "BOOL", "BYTES", "BYTES"]
    texts = FRAME.assign(when=FRAME["when"].dt.strftime("%Y-%m-%dT%H:%M:%S"))
    # NaN is no JSON; in binary it is a missing value.
    chosen = texts if binary else texts.iloc[[0, 2]]
    columns = {
        name: chosen[name].astype(object if datatype == "BYTES" else FRAME[name].dtype).to_numpy()
        for name, datatype in datatypes.items()
    }
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in datatypes]
    answer = client.infer(
        "predict",
        [tensor(name, columns[name], datatypes[name], binary=binary) for name in datatypes],
        outputs=wanted,
        request_id="ours",
    )
    assert answer.get_response()["id"] == "ours"
    for name, values in columns.items():
        found = answer.as_numpy(name)
        if found.dtype == object:
            texts_found = [v.decode() if isinstance(v, bytes) else v for v in found]
            assert texts_found == values.tolist(), name
        else:
            assert found.dtype == values.dtype
            np.testing.assert_array_equal(found, values, name)
    client.close()


@BINARY
def test_a_matrix_is_one_tensor(
    make_plan: Callable[..., ServicePlan], serve: Callable[..., Service], binary: bool
) -> None:
    def total(block: Any) -> Any:
        return block.sum(axis=1)

    service = serve(make_plan(total, np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])))
    client = triton.InferenceServerClient(f"127.0.0.1:{service.port}")
    (described,) = client.get_model_metadata("predict")["inputs"]
    values = np.array([[0.1, 0.2, 0.3]] * 2)
    given = tensor(described["name"], values, described["datatype"], binary=binary)
    # No outputs asked for: this client then wants all of them, in binary.
    found = client.infer("predict", [given]).as_numpy("prediction")
    assert found.tolist() == values.sum(axis=1).tolist()
    wrong = tensor("x", values.astype("float32"), "FP32", binary=binary)
    assert client.infer("predict", [wrong]).as_numpy("prediction").shape == (2,)
    with pytest.raises(triton.InferenceServerException, match=r"expected|takes|no such"):
        client.infer("predict", [tensor("x", values[:, :2], "FP64", binary=binary)])
    client.close()
