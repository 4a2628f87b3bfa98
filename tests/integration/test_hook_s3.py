"""Artifacts in S3, with the credentials of an Airflow connection and no others."""

from __future__ import annotations

import json
import uuid

import pytest

from model_envelope.operators.hook import ModelEnvelopeHook


def double(row: dict[str, float]) -> float:
    return 2 * row["x"]


double.__module__ = "__main__"  # as in a notebook: saved by value


def test_artifacts_are_reached_with_the_keys_of_the_aws_connection(
    s3_endpoint: str, sqlite_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    key, word = "key", "word"
    bucket = f"test-{uuid.uuid4().hex[:20]}"
    s3 = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=s3_endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=word,
    )
    s3.create_bucket(Bucket=bucket)
    extra = {"store": sqlite_store_url, "artifacts": f"s3://{bucket}/models", "aws_conn_id": "s3"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_MODELS", json.dumps({"conn_type": "model_envelope", "extra": extra})
    )
    monkeypatch.setenv(
        "AIRFLOW_CONN_S3",
        json.dumps(
            {
                "conn_type": "aws",
                "login": key,
                "password": word,
                "extra": {"region_name": "us-east-1", "endpoint_url": s3_endpoint},
            }
        ),
    )

    saved = (
        ModelEnvelopeHook("models")
        .client()
        .save_model(double, tags={"canonical_name": "double"}, api_input={"x": 1.5})
    )

    assert s3.list_objects_v2(Bucket=bucket, Prefix=f"models/{saved.id}/")["KeyCount"] > 0
    assert ModelEnvelopeHook("models").client().predict(saved.id, {"x": 4.0}) == 8.0
    s3.close()
