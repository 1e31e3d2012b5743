"""The demo set with a long tail: labels fall off as stated, and an imbalance of 1 is the demo set."""

import numpy as np
import pytest

from kfashion_d2.data import make_demo_data
from kfashion_d2.schema import kfashion_schema
from kfashion_d2.synthetic.labels import sample_garment
from kfashion_d2.synthetic.long_tail import label_weights, sample_unevenly
from kfashion_d2.synthetic.outfit import sample_outfit


def test_weights_fall_off_exponentially():
    weights = label_weights(64.0)
    fit = [weights["fit"][label.name] for label in kfashion_schema().group("fit").labels]
    assert np.allclose(np.divide(fit[:-1], fit[1:]), 2)  # 64 = 2 ** (7 labels - 1)
    assert np.mean(fit) == pytest.approx(1)
    assert next(iter(weights["collar"])) == "none"  # last in the schema, first here
    assert set(label_weights(1.0)["fit"].values()) == {1.0}


def test_garments_are_drawn_in_proportion():
    class Fake:
        def __init__(self, fit):
            self.fit = fit

        def __getattr__(self, name):
            return None  # the other groups do not apply

    names = [label.name for label in kfashion_schema().group("fit").labels]
    rng = np.random.default_rng(0)
    pool = iter(names * 100_000)
    drawn = [sample_unevenly(rng, lambda: Fake(next(pool)), 64.0).fit for _ in range(3000)]
    shares = np.array([drawn.count(name) for name in names]) / len(drawn)
    wanted = 0.5 ** np.arange(1, 8) / (1 - 0.5**7)
    # 64 candidates are nearly, not quite, seven times as many of each.
    assert np.abs(shares - wanted).max() < 0.03


def test_an_imbalance_of_one_changes_nothing():
    rngs = [np.random.default_rng(3) for _ in range(2)]
    plain = [sample_garment(rngs[0], "dress", []) for _ in range(5)]
    assert plain == [sample_unevenly(rngs[1], lambda: sample_garment(rngs[1], "dress", []), 1.0) for _ in range(5)]


def test_what_must_go_together_still_does():
    rng = np.random.default_rng(1)
    garments = [garment for _ in range(150) for garment in sample_outfit(rng, 100.0)]
    fits = [garment.fit for garment in garments if garment.category != "leggings"]
    assert fits.count("regular") > 10 * fits.count("wide")
    leggings = [garment for garment in garments if garment.category == "leggings"]
    assert leggings and all(garment.fit == "skinny" for garment in leggings)


@pytest.mark.parametrize("imbalance", [0.5, float("inf"), float("nan")])
def test_a_wrong_imbalance_is_refused(tmp_path, imbalance):
    with pytest.raises(ValueError, match="imbalance"):
        make_demo_data(tmp_path / "demo", num_train=1, num_val=0, imbalance=imbalance)
