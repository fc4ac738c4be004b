"""A guest with a browser finds a place, picks dates, books, pays and sees the booking, without a script."""

import os
import shutil
import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from lab.inventory import CHAPA_HOST
from tests.fleet.outside import Mailbox

SHOTS = Path(__file__).resolve().parents[2] / "build/browser"
SECONDS = 20


@pytest.fixture
def browser(lab, client, tmp_path, monkeypatch):
    """Chromium, headless, that trusts the sandbox's two authorities and nobody else of them, and runs no script."""
    store = tmp_path / ".pki/nssdb"
    store.mkdir(parents=True)
    for name, file in (("acme", lab.directory / "acme-roots.pem"), ("outside", lab.directory / "outside/ca.pem")):
        for number, part in enumerate(_certificates(file)):
            subprocess.run(
                ["certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", f"{name} {number}"],
                input=part, text=True, check=True, capture_output=True,
            )
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    names = f"MAP {client.domain} {client.address}, MAP {CHAPA_HOST} {lab.topology.outside.ipv4}"
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1100,1000",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", f"--host-resolver-rules={names}",
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    environment = {**os.environ, "HOME": str(tmp_path)}
    driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver")), env=environment))
    driver.set_page_load_timeout(SECONDS)
    yield driver
    driver.quit()


def _certificates(file):
    end = "-----END CERTIFICATE-----\n"
    return [part + end for part in file.read_text().split(end) if part.strip()]


def fill(browser, **fields):
    """Types into the form's fields; a date as the browser's own field takes it."""
    for name, value in fields.items():
        found = browser.find_element(By.NAME, name)
        if found.get_attribute("type") == "radio":
            browser.find_element(By.CSS_SELECTOR, f"input[name={name}][value={value}]").click()
        else:
            found.clear()
            found.send_keys(value)


def press(browser, label):
    """The button that bears the words; where there is none, the link."""
    buttons = browser.find_elements(By.XPATH, f"//button[contains(normalize-space(.), '{label}')]")
    (*buttons, *browser.find_elements(By.LINK_TEXT, label))[0].click()


def sees(browser, words):
    def shown():
        return str(browser.find_element(By.TAG_NAME, "body").text)

    try:
        # the page may change between the two questions
        stale = [StaleElementReferenceException]
        WebDriverWait(browser, SECONDS, ignored_exceptions=stale).until(lambda _: words in shown())
    except TimeoutException:
        raise AssertionError(f"{browser.current_url} does not show {words!r} but:\n{shown()}") from None


def shot(browser, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    assert browser.save_screenshot(str(SHOTS / f"{name}.png"))


def test_guest_books_and_pays_for_a_stay_in_a_browser(browser, client, lab):
    mark = uuid.uuid4().hex[:10]
    host = client.login(f"host-{mark}@example.org", uuid.uuid4().hex, {"role": "host"})
    title = f"House {mark} by the lake"
    client.ask("POST", "/api/v1/listings/", 201, token=host, json={
        "title": title, "description": "Quiet, with a garden.", "place": "Bahir Dar",
        "price_per_night": "350.00", "currency": "ETB", "capacity": 3,
    })
    email, site = f"guest-{mark}@example.org", f"https://{client.domain}"

    browser.get(f"{site}/register/")
    fill(browser, name="Ada", email=email, password=uuid.uuid4().hex, role="guest")
    press(browser, "Register")
    sees(browser, "Sign out Ada")

    fill(browser, search=mark)
    press(browser, "Search")
    sees(browser, title)
    shot(browser, "places")
    press(browser, title)
    check_in = (datetime.now(UTC).date() + timedelta(days=40)).replace(day=10)
    browser.get(f"{browser.current_url.partition('?')[0]}?month={check_in}")
    _pick(browser, check_in)
    _pick(browser, check_in + timedelta(days=3))
    shot(browser, "calendar")
    fill(browser, guests="2")
    press(browser, "Book")
    sees(browser, "1050.00 ETB")
    sees(browser, "held until it is paid")

    press(browser, "Pay 1050.00 ETB")
    assert CHAPA_HOST in browser.current_url
    shot(browser, "checkout")
    press(browser, "Pay")
    sees(browser, "1050.00 ETB: paid")
    sees(browser, "confirmed")
    assert browser.current_url.startswith(f"{site}/stays/")
    shot(browser, "stay")
    press(browser, "My stays")
    sees(browser, title)
    WebDriverWait(browser, SECONDS).until(lambda _: Mailbox.of(lab).by_recipient(email))


def _pick(browser, day):
    label = f"{day.day} {day:%B %Y}"
    browser.find_element(By.CSS_SELECTOR, f'a[aria-label^="{label}"]').click()


def test_pages_can_be_used_by_everybody(browser, client):
    """What a checker can tell of accessibility: a language, one heading, a name for each field, a way past the menu."""
    for path in ("/", "/login/", "/register/"):
        browser.get(f"https://{client.domain}{path}")
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
        assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1
        assert browser.find_element(By.CSS_SELECTOR, "a.skip").get_attribute("href").endswith("#main")
        for field in browser.find_elements(By.CSS_SELECTOR, "input:not([type=hidden])"):
            assert field.accessible_name, f"{path}: a field without a name: {field.get_attribute('outerHTML')}"
