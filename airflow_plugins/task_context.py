"""What Airflow does not say by itself in the environment of a task."""

from __future__ import annotations

import os
from typing import Any

from airflow.listeners import hookimpl


@hookimpl
def on_task_instance_running(task_instance: Any) -> None:
    """Export a mapped task's index beside the ids that Airflow exports.

    What a task saves, predicts and deploys is thereby known to the mapped task, also where a
    process that it started does so.
    """
    mapped = task_instance.map_index is not None and task_instance.map_index >= 0
    os.environ["AIRFLOW_CTX_MAP_INDEX"] = str(task_instance.map_index) if mapped else ""
