"""The page in a real browser, from disk: it opens, shows the voxels that are in the volumes, and asks nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import phantom
from mr2ct.report import Run
from runtime.page.browsing import (
    CHROMIUM,
    DRIVER,
    EDGE,
    HINT,
    PLANES,
    Browser,
    geometry,
    hu_said,
    letters,
    lps_said,
    open_page,
    pixels,
    places,
    settle,
    slice_points,
    slide,
)
from runtime.page.runs import values_at, voxel_at

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=HINT)
BONE_WINDOW = (400.0, 1800.0)  # level and width, HU


@pytest.fixture
def opened(browser: Browser, written: Path) -> Browser:
    """The browser with the page freshly opened, voxels neither smoothed nor covered by the crosshair."""
    open_page(browser, written)
    for toggle in ("smooth", "cross"):
        browser.find_element(By.ID, toggle).click()
    settle(browser)
    return browser


def test_it_opens_offline_without_a_word(browser: Browser, written: Path) -> None:
    open_page(browser, written)
    slide(browser, "axial", 3)
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]  # type: ignore[no-untyped-call]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert written.as_uri() in asked
    assert [url for url in asked if url != written.as_uri() and not url.startswith(("data:", "blob:"))] == []
    assert browser.find_element(By.ID, "trouble").text == ""
    assert not browser.find_element(By.ID, "still").is_displayed()
    assert "head.nii.gz" in browser.title


@pytest.mark.parametrize("plane", PLANES)
def test_a_slider_shows_the_slice_that_the_volume_has_there(opened: Browser, straight: Run, plane: str) -> None:
    normal = PLANES[plane][2]
    size = geometry(opened)[2]
    low, high = np.percentile(straight.mr.voxels[straight.result.head][::8], (1, 99.5))  # as the still picture has it
    seen = []
    for place in (size[normal] // 3, size[normal] // 2):
        slide(opened, plane, int(place))
        assert places(opened)[normal] == place
        for layer in ("ct", "mr"):
            shown = pixels(opened, f"{layer}-{plane}")
            at, lps = slice_points(opened, plane, shown.shape)
            if layer == "ct":
                hu = values_at(straight.result.volume, lps)
                wanted = np.clip((hu - BONE_WINDOW[0]) / BONE_WINDOW[1] + 0.5, 0, 1) * 255
            else:
                wanted = np.clip((values_at(straight.mr, lps) - low) / (high - low), 0, 1) * 255
            found = shown[at[:, 0], at[:, 1]].astype(np.float64)
            assert len(lps) > 1000 and np.ptp(wanted) > 200
            np.testing.assert_allclose(found, np.repeat(wanted[:, np.newaxis], 3, axis=1), atol=0.51)
        seen.append(pixels(opened, f"ct-{plane}"))
    assert (seen[0] != seen[1]).any()


def test_left_is_right_and_a_mark_lies_on_its_side(opened: Browser) -> None:
    """The capsule in the left half of the drawn head is bright on the right of the axial and coronal MR."""
    origin, spacing, _ = geometry(opened)
    for plane, axis in (("axial", 2), ("coronal", 1)):
        slide(opened, plane, round((phantom.LEFT_MARKER[axis] - origin[axis]) / spacing[axis]))
        shown = pixels(opened, f"mr-{plane}")[:, :, 0]
        at, lps = slice_points(opened, plane, shown.shape)
        row, column = at[np.linalg.norm(lps - np.array(phantom.LEFT_MARKER), axis=1).argmin()]
        assert column > shown.shape[1] / 2, "the patient's Left is right"
        assert shown[row, column] == 255, "the brightest in the head"
        assert shown[row, shown.shape[1] - column] < 255


def test_letters_name_the_sides(opened: Browser) -> None:
    written = letters(opened)
    for plane, edges in {"sagittal": "APSI", "coronal": "RLSI", "axial": "RLAP"}.items():
        for layer in ("mr", "ct", "fusion"):
            assert written[f"{layer}-{plane}"] == edges, "at the left, right, top and bottom edge"


def test_a_click_moves_the_crosshair_and_the_other_planes(opened: Browser) -> None:
    before = {plane: pixels(opened, f"ct-{plane}") for plane in PLANES}
    was = places(opened)
    canvas = opened.find_element(By.ID, "mr-axial")
    ActionChains(opened).move_to_element_with_offset(canvas, 40, -30).click().perform()
    settle(opened)
    now = places(opened)
    assert now[0] > was[0] and now[1] < was[1] and now[2] == was[2]  # to the patient's Left, and to Anterior
    after = {plane: pixels(opened, f"ct-{plane}") for plane in PLANES}
    assert (after["sagittal"] != before["sagittal"]).any() and (after["coronal"] != before["coronal"]).any()
    assert (after["axial"] == before["axial"]).all()
    origin, spacing, size = geometry(opened)
    scale = canvas.size["width"] / (size[0] * spacing[0])
    middle = origin + (size - 1) / 2 * spacing
    wanted = middle[:2] + np.array([40, -30]) / scale
    np.testing.assert_allclose(lps_said(opened)[:2], wanted, atol=spacing[:2].max() / 2 + 1 / scale + 0.05)


def test_the_read_out_is_the_voxel_under_the_crosshair(opened: Browser, straight: Run) -> None:
    origin, spacing, size = geometry(opened)
    rng = np.random.default_rng(5)
    for _ in range(6):
        place = [int(rng.integers(n // 5, n - n // 5)) for n in size]
        for plane, axes in PLANES.items():
            slide(opened, plane, place[axes[2]])
        lps = origin + np.array(place) * spacing
        np.testing.assert_allclose(lps_said(opened), lps, atol=0.051)
        there = voxel_at(straight.mr.grid, lps)
        hu = int(straight.result.volume.voxels[there])
        assert hu_said(opened) == hu
        tissue = "air" if hu < -200 else "bone" if hu > 250 else "soft tissue"
        assert opened.find_element(By.ID, "ct-value").text.endswith(tissue)
        assert straight.cycle is not None
        percent = float(opened.find_element(By.ID, "cycle-value").text.removesuffix(" %"))
        assert percent == pytest.approx(straight.cycle.error.voxels[there], abs=0.25)


def test_keys_and_wheel_move(opened: Browser) -> None:
    canvas = opened.find_element(By.ID, "ct-coronal")
    canvas.click()
    settle(opened)
    for keys, moved in (
        (Keys.ARROW_RIGHT, (1, 0, 0)), (Keys.ARROW_LEFT, (-1, 0, 0)), (Keys.ARROW_UP, (0, 0, 1)),
        (Keys.ARROW_DOWN, (0, 0, -1)), (Keys.PAGE_UP, (0, 1, 0)), (Keys.PAGE_DOWN, (0, -1, 0)),
    ):  # fmt: skip
        was = places(opened)
        canvas.send_keys(keys)
        settle(opened)
        assert np.subtract(places(opened), was).tolist() == list(moved), keys
    was = places(opened)
    opened.execute_script(
        "arguments[0].dispatchEvent(new WheelEvent('wheel', { deltaY: 100, bubbles: true, cancelable: true }))", canvas
    )
    settle(opened)
    assert np.subtract(places(opened), was).tolist() == [0, -1, 0]


def test_windows_change_the_ct_alone(opened: Browser) -> None:
    mr, ct = pixels(opened, "mr-axial"), pixels(opened, "ct-axial")
    for name, level, width in (("brain", 40, 80), ("soft", 40, 400), ("bone", 400, 1800)):
        button = opened.find_element(By.CSS_SELECTOR, f"[data-preset={name}]")
        button.click()
        settle(opened)
        assert button.get_attribute("aria-pressed") == "true"
        assert opened.find_element(By.ID, "level").get_attribute("value") == str(level)
        assert opened.find_element(By.ID, "width").get_attribute("value") == str(width)
        assert (pixels(opened, "ct-axial") == ct).all() == (name == "bone")
    field = opened.find_element(By.ID, "level")
    field.clear()
    field.send_keys("3000", Keys.TAB)
    settle(opened)
    assert not pixels(opened, "ct-axial")[EDGE:-EDGE, EDGE:-EDGE].any(), "nothing here reaches 2100 HU"
    assert (pixels(opened, "mr-axial") == mr).all()


def test_fusion_goes_from_the_mr_to_the_ct(opened: Browser, straight: Run) -> None:
    def set_opacity(percent: int) -> NDArray[np.int64]:
        opened.execute_script(
            "const slider = document.getElementById('opacity'); slider.value = arguments[0];"
            "slider.dispatchEvent(new Event('input'))",
            percent,
        )
        settle(opened)
        return pixels(opened, "fusion-axial").astype(np.int64)

    none, half, full = set_opacity(0), set_opacity(50), set_opacity(100)
    mr = pixels(opened, "mr-axial").astype(np.int64)
    at, lps = slice_points(opened, "axial", mr.shape)
    row, column = at.T
    hu = values_at(straight.result.volume, lps)
    air, bone = hu < BONE_WINDOW[0] - BONE_WINDOW[1] / 2, hu > BONE_WINDOW[0] + BONE_WINDOW[1] / 2
    assert air.sum() > 100 and bone.sum() > 5
    np.testing.assert_array_equal(none, mr)
    np.testing.assert_array_equal(full[row, column][air], mr[row, column][air], "air is clear")
    assert (full[row, column][bone] == (255, 255, 240)).all(), "bone is the brightest of the colours"
    np.testing.assert_allclose(half, (mr + full) / 2, atol=1.01)


def test_rows_can_be_hidden_and_the_cycle_error_shown(opened: Browser) -> None:
    assert opened.find_element(By.ID, "mr-axial").is_displayed()
    assert not opened.find_element(By.ID, "cycle-axial").is_displayed()
    for layer in ("mr", "cycle"):
        opened.find_element(By.ID, f"show-{layer}").click()
    settle(opened)
    assert not opened.find_element(By.ID, "mr-axial").is_displayed()
    shown = pixels(opened, "cycle-coronal").astype(int).sum(axis=-1)
    rows = shown[EDGE:-EDGE, shown.shape[1] // 2]
    assert rows[len(rows) // 4] > rows[len(rows) * 3 // 4], "the error grows to Superior"


@pytest.mark.parametrize("width", [800, 1280])
def test_nothing_is_wider_than_the_window_and_a_millimetre_is_as_long_in_each_plane(
    opened: Browser, width: int
) -> None:
    opened.set_window_size(width, 1600)
    settle(opened)
    inner, scroll = opened.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]")
    sizes = [opened.find_element(By.ID, f"ct-{plane}").size for plane in PLANES]
    _, spacing, size = geometry(opened)
    opened.set_window_size(1280, 1600)
    assert scroll <= inner
    scales = [shown["width"] / (size * spacing)[PLANES[plane][0]] for plane, shown in zip(PLANES, sizes, strict=True)]
    assert scales == pytest.approx([scales[0]] * 3, rel=0.01)
    assert np.ptp([shown["height"] for shown in sizes]) <= 1
