"""Help and System in a real browser, on a machine where a native library is broken."""

from pathlib import Path

import pytest

from infer.web.i18n import texts
from tests.e2e.browser import Server, bubbles, chromium, needs_browser, open_page, tab

pytestmark = [pytest.mark.slow, needs_browser, pytest.mark.timeout(600)]
DLL = "Could not load shared object file: llvmlite.dll"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("system")
    broken = root / "broken"
    broken.mkdir()
    (broken / "pyworld.py").write_text(f"raise OSError({DLL!r})\n")
    server = Server(root, PYTHONPATH=str(broken)).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page(server):
    with chromium() as browser:
        page = open_page(browser, server.url, "ko-KR")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield page
        assert page.mistakes == []


def failures(page) -> list[str]:
    """What went wrong; that a busy machine answered late does not count."""
    return [text for text in bubbles(page) if "Connection to the server" not in text]


def open_system(page) -> None:
    tab(page, 4)
    page.wait_for_selector("#rvc-machine .rvc-chips")


def test_a_broken_native_library_is_named_with_its_remedy_and_the_rest_runs(page):
    open_system(page)
    told = page.locator("#rvc-system-status").inner_text()
    assert DLL in told
    assert "pyworld" in told
    assert "재배포 가능 패키지" in told
    for number in range(5):
        tab(page, number)
    assert failures(page) == []


def test_the_device_is_chosen_in_a_list(page):
    open_system(page)
    page.locator("#rvc-device input").click()
    offered = [option.get_attribute("aria-label") for option in page.get_by_role("option").all()]
    assert offered[:2] == ["auto", "cpu"]
    page.get_by_role("option", name="auto", exact=True).click()
    page.get_by_text(texts("ko")["system.device_chosen"].format(device="cpu")).first.wait_for()
    assert failures(page) == []


def test_pieces_are_set_on_the_page_and_a_bad_plan_is_refused(page):
    open_system(page)
    assert page.locator("#rvc-x_center input").get_attribute("placeholder") == "38"
    page.locator("#rvc-x_center input").fill("20")
    page.locator("#rvc-x_max input").fill("22")
    page.locator("#rvc-apply-plan").click()
    page.get_by_text("x_center 20, x_max 22").first.wait_for()
    page.locator("#rvc-x_max input").fill("3")
    page.locator("#rvc-apply-plan").click()
    page.locator(".toast-body.error").first.wait_for()
    assert "x_max=3" in failures(page)[0]
    page.locator("#rvc-automatic-plan").click()
    page.wait_for_function("document.querySelector('#rvc-x_center input').value === ''")


def test_diagnostics_go_to_the_clipboard_without_private_folders(page, server):
    open_system(page)
    page.locator("#rvc-copy-diagnostics").click()
    page.wait_for_selector("#rvc-diagnostics textarea")
    page.wait_for_function("navigator.clipboard.readText().then(text => text.includes('device in use'))")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert DLL in copied
    assert str(server.root) not in copied
    assert str(Path.home()) + "/" not in copied


def test_answers_open_and_are_found_by_their_anchor(page):
    tab(page, 3)
    page.wait_for_selector("#rvc-questions details")
    questions = page.locator("#rvc-questions details")
    assert questions.count() == 18
    questions.nth(6).locator("summary").click()
    assert questions.nth(6).get_by_text("x_center", exact=True).first.is_visible()
    page.evaluate("location.hash = 'q9'")
    page.wait_for_function("document.getElementById('q9').closest('details').open")
