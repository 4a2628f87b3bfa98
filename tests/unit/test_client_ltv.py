"""The demo's models against what was published of them, and its metrics against known cases."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from client_ltv.buy_till_you_die import fit_buy_till_you_die, fit_values
from client_ltv.evaluate import by_decile, gini, score
from client_ltv.features import (
    CALIBRATION_END,
    HOLDOUT_WEEKS,
    customer_features,
    spend_after,
)
from client_ltv.models import FAMILIES, FEATURES, fit_boosting
from client_ltv.transactions import read_transactions

CDNOW = Path(__file__).parents[2] / "dags" / "data" / "cdnow"


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return read_transactions(CDNOW / "CDNOW_sample.txt")


@pytest.fixture(scope="module")
def master() -> pd.DataFrame:
    return read_transactions(CDNOW / "CDNOW_master.txt")


@pytest.fixture(scope="module")
def customers(sample: pd.DataFrame) -> pd.DataFrame:
    return customer_features(sample, CALIBRATION_END)


def test_the_data_are_complete(master: pd.DataFrame, sample: pd.DataFrame) -> None:
    assert len(master) == 69_659
    assert master["customer_id"].nunique() == 23_570
    assert sample["customer_id"].nunique() == 2_357
    # The sample is every tenth customer of the master file, to the cent.
    same = master[master["customer_id"].isin(sample["customer_id"])].reset_index(drop=True)
    by = ["customer_id", "date", "cds", "dollars"]
    pd.testing.assert_frame_equal(
        same.sort_values(by, ignore_index=True), sample.sort_values(by, ignore_index=True)
    )


def test_what_is_no_purchase_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.txt"
    path.write_text("00001 19970101 1 11.77\n00002 19970101 1\n")
    with pytest.raises(ValueError, match=r"broken\.txt"):
        read_transactions(path)


def test_features_know_nothing_of_the_future(sample: pd.DataFrame) -> None:
    past = sample[sample["date"] < pd.Timestamp(CALIBRATION_END)]
    pd.testing.assert_frame_equal(
        customer_features(sample, CALIBRATION_END), customer_features(past, CALIBRATION_END)
    )
    assert len(customer_features(sample, date(1997, 1, 1))) == 0


def test_features_of_a_customer_by_hand(master: pd.DataFrame) -> None:
    # 1997-01-02 20.76, 03-30 20.76, 04-02 19.54; later purchases are not known yet.
    row = customer_features(master, CALIBRATION_END).set_index("customer_id").loc["00003"]
    assert row["segment"] == "1997-01"
    assert row["frequency"] == 2
    assert row["recency"] == pytest.approx(90 / 7)
    assert row["age"] == pytest.approx(271 / 7)
    assert row["repeat_value"] == pytest.approx((20.76 + 19.54) / 2)
    assert row["spend"] == pytest.approx(61.06)
    assert row["recent_spend"] == 0
    after = spend_after(master, CALIBRATION_END, HOLDOUT_WEEKS)
    assert after["00003"] == pytest.approx(57.45 + 20.96 + 16.99)


def test_bg_nbd_gives_the_published_parameters(customers: pd.DataFrame) -> None:
    """Fader, Hardie, Lee (2005), table 2, BG/NBD."""
    model = fit_buy_till_you_die(customers, HOLDOUT_WEEKS)
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx(
        (0.243, 4.414, 0.793, 2.426), abs=6e-4
    )


def test_gamma_gamma_gives_the_published_parameters(customers: pd.DataFrame) -> None:
    """Fader & Hardie (2013): p = 6.25, q = 3.74, gamma = 15.44 on 946 customers."""
    assert (customers["frequency"] > 0).sum() == 946
    assert fit_values(customers) == pytest.approx((6.25, 3.74, 15.44), abs=6e-3)


def test_bg_nbd_gives_the_published_expectation(customers: pd.DataFrame) -> None:
    """The worked example of the paper's spreadsheet: customer 0001 of the sample."""
    model = fit_buy_till_you_die(customers, HOLDOUT_WEEKS)
    first = customers.head(1)
    assert first["recency"].item() == pytest.approx(30.43, abs=5e-3)
    assert first["age"].item() == pytest.approx(38.86, abs=5e-3)
    assert model.expected_purchases(first).item() == pytest.approx(1.226, abs=1e-3)


def test_who_never_came_back_is_alive_in_bg_nbd(customers: pd.DataFrame) -> None:
    model = fit_buy_till_you_die(customers, HOLDOUT_WEEKS)
    alive = model.probability_alive(customers)
    assert (alive[customers["frequency"] == 0] == 1).all()
    assert alive.between(0, 1).all()


def test_values_cannot_be_fitted_without_repeat_purchases(customers: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="second time"):
        fit_values(customers[customers["frequency"] == 0])


def test_boosting_knows_nothing_of_the_holdout(sample: pd.DataFrame) -> None:
    past = sample[sample["date"] < pd.Timestamp(CALIBRATION_END)]
    features = customer_features(sample, CALIBRATION_END)
    pd.testing.assert_series_equal(
        fit_boosting(sample, CALIBRATION_END).predict(features),
        fit_boosting(past, CALIBRATION_END).predict(features),
    )


def test_fitted_models_order_customers_far_better_than_chance(master: pd.DataFrame) -> None:
    customers = customer_features(master, CALIBRATION_END)
    spent = spend_after(master, CALIBRATION_END, HOLDOUT_WEEKS)
    actual = customers["customer_id"].map(spent).fillna(0.0)
    scores = {}
    for family, fit in FAMILIES.items():
        model = fit(master, CALIBRATION_END)
        predict = getattr(model, "predict", model)
        scores[family] = score(actual, predict(customers[FEATURES]))
    assert scores["bg_nbd"]["rmse"] < scores["spend_rate"]["rmse"]
    assert scores["boosting"]["rmse"] < scores["spend_rate"]["rmse"]
    assert 0.8 < scores["bg_nbd"]["total_ratio"] < 1.2
    assert 0.8 < scores["boosting"]["total_ratio"] < 1.2
    assert all(found["gini"] > 0.6 for found in scores.values())


def test_scores_of_known_cases() -> None:
    actual = pd.Series(np.arange(100.0))
    perfect = score(actual, actual)
    assert perfect["rmse"] == 0
    assert perfect["gini"] == pytest.approx(1)
    assert perfect["spearman"] == pytest.approx(1)
    assert perfect["total_ratio"] == 1
    assert perfect["top_decile_lift"] == pytest.approx(94.5 / 49.5)
    reverse = score(actual, -actual)
    assert reverse["gini"] == pytest.approx(-1)
    assert gini(np.array([0.0, 0.0, 9.0]), np.array([1.0, 2.0, 3.0])) == 1


def test_deciles_hold_every_customer_once_even_with_ties() -> None:
    table = by_decile(pd.Series(np.arange(25.0)), pd.Series(np.zeros(25)))
    assert table["decile"].tolist() == list(range(1, 11))
    assert table["customers"].sum() == 25
