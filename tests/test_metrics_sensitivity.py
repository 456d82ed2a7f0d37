"""Convention sensitivity on small tables."""

from __future__ import annotations

import math

import pytest

from fusionbench.sensitivity import compare_conventions, heading, to_markdown

MEANS = {
    "one": {"psnr": 1.0, "psnr@vifb": 3.0, "nabf": 0.1, "nabf@tang": 0.3, "vif": 1.0, "viff": 1.0},
    "two": {"psnr": 2.0, "psnr@vifb": 2.0, "nabf": 0.2, "nabf@tang": 0.2, "vif": 2.0, "viff": 2.0},
    "average": {"psnr": 3.0, "psnr@vifb": 1.0, "nabf": 0.3, "nabf@tang": 0.1, "vif": 3.0, "viff": math.nan},
}
BETTER = {
    "psnr": "higher",
    "psnr@vifb": "higher",
    "nabf": "lower",
    "nabf@tang": "lower",
    "vif": "higher",
    "viff": "higher",
}


def test_reversed_rankings_and_winners() -> None:
    found = {c.metric: c for c in compare_conventions(MEANS, BETTER, controls={"average"})}
    assert set(found) == {"psnr", "nabf"}  # vif and viff share two methods only
    assert found["psnr"].tau == -1.0
    assert found["psnr"].winners == ("two", "one")
    assert found["psnr"].leading_controls == (("average",), ())
    assert found["nabf"].winners == ("one", "two")


def test_ties_have_no_tau() -> None:
    means = {m: {"ssim": 1.0, "ssim@l2": float(i)} for i, m in enumerate("abc")}
    (only,) = compare_conventions(means, {"ssim": "higher", "ssim@l2": "higher"})
    assert math.isnan(only.tau)


def test_headings() -> None:
    assert heading("ssim@l2+foreground") == "ssim"
    assert heading("viff") == "vif"
    assert heading("mef-ms-ssim@python") == "ms-ssim"


def test_a_wrong_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="higher"):
        compare_conventions(MEANS, BETTER | {"psnr": "up"})


def test_markdown_names_the_control_ahead() -> None:
    table = to_markdown(compare_conventions(MEANS, BETTER, controls={"average"}))
    assert "two (behind average)" in table
    assert "-1.00" in table
