"""Chromium, driven by the chromedriver that is installed, and what it shows of a report."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
HINT = "no Chromium and chromedriver on the PATH: apt-get install chromium chromium-driver"
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars", "--window-size=1280,1600",
    "--force-device-scale-factor=1",
)  # fmt: skip

# By plane: the LPS axis of its columns, of its rows, of its slices; whether a step down goes to higher LPS.
PLANES = {"sagittal": (1, 2, 0, False), "coronal": (0, 2, 1, False), "axial": (0, 1, 2, True)}
EDGES = ("left", "right", "top", "bottom")
EDGE = 34  # pixels at a canvas's edges that may be covered by letters and the bar of 50 mm

Browser = webdriver.Chrome


def start_browser(profile: Path) -> Browser:
    """A headless Chromium with an empty profile, which logs its console and its network."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (*QUIET, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def open_page(browser: Browser, path: Path) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)  # type: ignore[no-untyped-call]  # what came before
    browser.get(path.as_uri())
    done = "return document.body.dataset.ready === 'yes' || document.getElementById('trouble').textContent !== ''"
    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda driver: driver.execute_script(done))
    settle(browser)


def settle(browser: Browser) -> None:
    """Wait until what was asked for is drawn."""
    browser.execute_async_script(
        "const done = arguments[0]; let frames = 4;"
        "(function next() { frames-- ? requestAnimationFrame(next) : done(); })()"
    )


def geometry(browser: Browser) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Origin and spacing (mm) and size of the page's lattice, x, y, z."""
    told = json.loads(browser.execute_script("return document.getElementById('facts').textContent"))["geometry"]
    return np.array(told["origin"]), np.array(told["spacing"]), np.array(told["size"])


def slide(browser: Browser, plane: str, place: int) -> None:
    """Move a plane's slider as a user does, to one of its slices."""
    browser.execute_script(
        "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', { bubbles: true }))",
        f"slice-{plane}",
        place,
    )
    settle(browser)


def places(browser: Browser) -> list[int]:
    """Where the sliders are: slices along x, y, z."""
    return [int(browser.execute_script(f"return document.getElementById('slice-{p}').value")) for p in PLANES]


def pixels(browser: Browser, canvas: str) -> NDArray[np.uint8]:
    """(rows, columns, 3) of a canvas."""
    told = browser.execute_script(
        "const canvas = document.getElementById(arguments[0]), { width, height } = canvas;"
        "const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;"
        "let text = ''; for (let n = 0; n < data.length; n++) text += String.fromCharCode(data[n]);"
        "return [width, height, btoa(text)]",
        canvas,
    )
    width, height = told[:2]
    return np.frombuffer(base64.b64decode(told[2]), np.uint8).reshape(height, width, 4)[:, :, :3]


def letters(browser: Browser) -> dict[str, str]:
    """By canvas, the letters that are written at its left, right, top and bottom edge."""
    browser.execute_script(
        "window.written = []; const write = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {"
        "  written.push([this.canvas.id, text, x / this.canvas.width, y / this.canvas.height]);"
        "  write.call(this, text, x, y); };"
        "document.getElementById('cross').click();"  # draws everything anew
    )
    settle(browser)
    found: dict[str, dict[str, str]] = {}
    for canvas, text, x, y in browser.execute_script("return window.written"):
        edge = {(0, 1): "left", (2, 1): "right", (1, 0): "top", (1, 2): "bottom"}.get((int(3 * x), int(3 * y)))
        if len(text) == 1 and edge is not None:
            found.setdefault(canvas, {})[edge] = text
    return {name: "".join(edges[edge] for edge in EDGES) for name, edges in found.items()}


def slice_points(browser: Browser, plane: str, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The pixels of a canvas that show the voxel centres of a plane, (n, 2) row and column, and their LPS, (n, 3) mm.

    Worked out from millimetres: the plane lies in the middle of the canvas and fills its width or its height.
    """
    origin, spacing, size = geometry(browser)
    across, down, normal, downwards = PLANES[plane]
    mm = size * spacing
    scale = min(shape[1] / mm[across], shape[0] / mm[down])
    columns, rows = np.meshgrid(np.arange(size[across]), np.arange(size[down]))
    index = np.zeros((*columns.shape, 3))
    index[..., across], index[..., down] = columns, rows if downwards else size[down] - 1 - rows
    index[..., normal] = places(browser)[normal]
    at = np.stack(
        [
            (shape[0] - mm[down] * scale) / 2 + (rows + 0.5) * spacing[down] * scale,
            (shape[1] - mm[across] * scale) / 2 + (columns + 0.5) * spacing[across] * scale,
        ],
        axis=-1,
    ).astype(int)
    inner = ((at >= EDGE) & (at < np.array(shape[:2]) - EDGE)).all(axis=-1)
    return at[inner], (origin + index * spacing)[inner]


def hu_said(browser: Browser) -> int:
    text = browser.find_element(By.ID, "ct-value").text
    return int(text.split(" HU")[0].replace("\u2212", "-"))


def lps_said(browser: Browser) -> list[float]:
    text = browser.find_element(By.ID, "at").text
    return [float(part.replace("\u2212", "-")) for part in text.split(", ")]
