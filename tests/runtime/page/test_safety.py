"""What is foreign, damaged or old does no harm to a page in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from mr2ct.model import Model
from mr2ct.page.page import page
from mr2ct.report import Run
from runtime.page.browsing import CHROMIUM, DRIVER, HINT, Browser, hu_said, lps_said, open_page
from runtime.page.runs import drawn_head, run_of, series_of, voxel_at

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=HINT)


def test_foreign_text_is_text(browser: Browser, straight: Run, tmp_path: Path) -> None:
    """What a header, a file name or a remark holds is read, and not run."""
    attack = "</title></script><script>document.title='owned'</script>"  # a DICOM long string holds 64
    remark = "<!-- <img src=x onerror=\"document.title='owned'\">"
    name, hebrew = "<b onclick=x>Müller^Jörg=山田^太郎", "כהן^דוד"
    series = series_of(
        straight.mr, SpecificCharacterSet="ISO_IR 192", PatientName=name, PatientID=hebrew, SeriesDescription=attack
    )
    run = replace(straight, series=series, mr=replace(straight.mr, remarks=(remark,)), source=Path(f"/data/{attack}"))
    (tmp_path / "a.html").write_text(page(run), encoding="utf-8")
    open_page(browser, tmp_path / "a.html")
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert browser.title == f"Synthetic CT of {Path(attack).name}"
    body = browser.find_element(By.TAG_NAME, "main").text
    for text in (name, hebrew, attack, remark):
        assert text in body
    assert browser.execute_script("return document.querySelectorAll('[onclick], [onerror]').length") == 0


def test_no_script_but_the_pages_own_may_run(browser: Browser, written: Path, tmp_path: Path) -> None:
    """Should text become markup after all, the browser refuses it."""
    text = written.read_text(encoding="utf-8")
    planted = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    (tmp_path / "a.html").write_text(text.replace("<main>", f"<main>{planted}"), encoding="utf-8")
    open_page(browser, tmp_path / "a.html")
    assert "owned" not in browser.title
    refused = [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    assert len(refused) >= 2 and all("Content Security Policy" in message for message in refused)


def test_an_oblique_volume_says_that_it_is_interpolated(
    browser: Browser, identity_model: Model, tmp_path: Path
) -> None:
    mr, ct, head = drawn_head((11.0, -7.0))
    (tmp_path / "a.html").write_text(page(run_of(identity_model, (mr, ct, head))), encoding="utf-8")
    open_page(browser, tmp_path / "a.html")
    assert "interpolated to 2.9 \u00d7 2.9 \u00d7 2.9 mm" in browser.find_element(By.ID, "shown-note").text
    k, j, i = voxel_at(mr.grid, lps_said(browser))
    around = ct.voxels[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2]
    assert around.min() <= hu_said(browser) <= around.max()
    assert not browser.find_elements(By.ID, "cycle-axial")


def test_a_damaged_page_says_so_and_keeps_its_picture(browser: Browser, written: Path, tmp_path: Path) -> None:
    text = written.read_text(encoding="utf-8")
    start = text.index('id="ct">') + 2000
    (tmp_path / "a.html").write_text(text[:start] + text[start + 4000 :], encoding="utf-8")
    open_page(browser, tmp_path / "a.html")
    assert "damaged" in browser.find_element(By.ID, "trouble").text
    assert browser.find_element(By.CSS_SELECTOR, "#still img").size["width"] > 400
    assert not browser.find_element(By.ID, "viewer").is_displayed()


def test_an_old_browser_is_told_and_keeps_the_picture(browser: Browser, written: Path) -> None:
    script = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "delete window.DecompressionStream"}
    )
    try:
        open_page(browser, written)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert "too old" in browser.find_element(By.ID, "trouble").text
    assert browser.find_element(By.CSS_SELECTOR, "#still img").is_displayed()
