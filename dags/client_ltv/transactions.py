"""Purchase histories, one row per purchase."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_MASTER = ["customer_id", "date", "cds", "dollars"]
_SAMPLE = ["customer_id", "sample_id", "date", "cds", "dollars"]


def read_transactions(path: str | Path) -> pd.DataFrame:
    """Read a CDNOW file, the master file or the 1/10 sample.

    Returns:
        Columns `customer_id` (string, keeps its leading zeros), `date` (datetime),
        `cds` (number bought), `dollars` (paid), ordered by customer and date.

    Raises:
        ValueError: a row is incomplete or is no purchase.
    """
    with Path(path).open() as file:
        first = file.readline().split()
    table = pd.read_csv(
        path,
        sep=r"\s+",
        header=0 if first == ["customer_id", "date", "number_of_cds", "dollar_value"] else None,
        names=_MASTER if len(first) == len(_MASTER) else _SAMPLE,
        dtype={"customer_id": "str", "date": "str", "cds": "int64", "dollars": "float64"},
    )
    if table.isna().any(axis=None) or (table["cds"] < 0).any() or (table["dollars"] < 0).any():
        raise ValueError(f"{path} has rows that are no purchases.")
    table["date"] = pd.to_datetime(table["date"], format="%Y%m%d")
    return table.sort_values(["customer_id", "date"], kind="stable", ignore_index=True)[_MASTER]
