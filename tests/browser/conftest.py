"""Debian's Chromium, headless, and pages to open in it."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Where screenshots are kept to be looked at.
SCREENSHOTS = Path(os.environ.get("SCREENSHOTS", "outputs/screenshots"))


class Browser:
    """One window."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1440, dark: bool = False) -> None:
        """Opens a file and waits until its script has run."""
        self.visit(path.resolve().as_uri(), width, dark)
        self.until("return document.documentElement.dataset.ready")

    def visit(self, address: str, width: int = 1440, dark: bool = False) -> None:
        """Goes to an address, in a window of a width."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(address)

    def until(self, script: str, *arguments: Any) -> Any:
        """What a piece of script returns, once that is something."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 60, 0.05).until(lambda driver: self.js(script, *arguments))

    def js(self, script: str, *arguments: Any) -> Any:
        """What a piece of script returns."""
        return self.driver.execute_script(script, *arguments)

    def errors(self) -> list[str]:
        """What the console said that is no remark."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, name: str) -> Path:
        """The whole page as a PNG below SCREENSHOTS."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        width, height = self.js("return [window.innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        asked = {"captureBeyondViewport": True, "clip": clip}
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", asked)
        path = SCREENSHOTS / f"{name}.png"
        path.write_bytes(base64.b64decode(taken["data"]))
        return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
