"""What Airflow discovers of this package, read by Airflow's own code."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from importlib.resources import files

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from model_envelope.airflow_plugins.provider_info import get_provider_info


@pytest.fixture(scope="module")
def manager() -> ProvidersManager:
    return ProvidersManager()


def test_the_entry_point_names_the_function() -> None:
    found = [
        e for e in entry_points(group="apache_airflow_provider") if "model_envelope" in e.value
    ]
    assert [entry.load() for entry in found] == [get_provider_info]


def test_it_follows_airflows_schema() -> None:
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_airflow_lists_the_provider(manager: ProvidersManager) -> None:
    assert manager.providers["model-envelope"].data["name"] == "Model Envelope"


def test_every_module_and_class_it_names_exists() -> None:
    info = get_provider_info()
    modules = [
        module
        for kind in ("operators", "sensors", "hooks", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    ]
    classes = [*info["extra-links"], info["connection-types"][0]["hook-class-name"]]
    for module in modules:
        importlib.import_module(module)
    for path in classes:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_airflow_finds_the_hook_of_the_connection_type() -> None:
    hook = ProvidersManagerTaskRuntime().hooks["model_envelope"]
    assert hook is not None
    assert hook.hook_class_name == "model_envelope.operators.hook.ModelEnvelopeHook"
    assert hook.hook_name == "Model Envelope"
    assert hook.connection_id_attribute_name == "conn_id"
    assert hook.connection_testable


def test_the_form_shows_our_fields_and_the_password_and_nothing_else(
    manager: ProvidersManager,
) -> None:
    behaviour = manager.field_behaviours["model_envelope"]
    shown = {"host", "port", "schema", "login", "password", "extra"} - {*behaviour["hidden_fields"]}
    assert shown == {"password"}
    fields = {
        name.removeprefix("extra__model_envelope__"): info
        for name, info in manager.connection_form_widgets.items()
        if name.startswith("extra__model_envelope__")
    }
    assert set(fields) == {"store", "artifacts", "aws_conn_id"}
    assert all(info.field["description"] for info in fields.values())
    assert behaviour["placeholders"].keys() == {f"extra__model_envelope__{f}" for f in fields}


def test_the_extra_link_is_registered(manager: ProvidersManager) -> None:
    assert "model_envelope.operators.links.EnvelopeLink" in manager.extra_links_class_names
