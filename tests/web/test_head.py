import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from infer.web.head import PageHead

PAGE = '<!doctype html><html lang="en"><head><title>x</title></head><body>한국어</body></html>'


@pytest.fixture
def client():
    routes = [
        Route("/", lambda request: HTMLResponse(PAGE)),
        Route("/file", lambda request: PlainTextResponse("<head>")),
    ]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(PageHead)]))


def test_the_browsers_language_is_written_before_anything_else(client):
    page = client.get("/", headers={"accept-language": "ko-KR,ko;q=0.9,en;q=0.8"}).text
    assert '<html lang="ko">' in page
    assert page.index('window.rvcLanguage = "ko"') < page.index("<title>")
    assert "한국어" in page


def test_the_choice_made_on_the_page_wins(client):
    headers = {"accept-language": "ko", "cookie": "other=1; rvc_language=zh-TW"}
    assert 'window.rvcLanguage = "zh-TW"' in client.get("/", headers=headers).text


def test_the_length_told_is_the_length_sent(client):
    response = client.get("/")
    assert int(response.headers["content-length"]) == len(response.content)


def test_a_forged_cookie_adds_no_script(client):
    headers = {"cookie": 'rvc_language="</script><script>alert(1)</script>'}
    page = client.get("/", headers=headers).text
    assert "alert(1)" not in page
    assert 'window.rvcLanguage = "en"' in page


def test_other_addresses_pass_untouched(client):
    assert client.get("/file").text == "<head>"
