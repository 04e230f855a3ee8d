import pytest

from infer.web import i18n
from infer.web.i18n import chosen_language, say, t


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("ko-KR,ko;q=0.9,en-US;q=0.8", "ko"),
        ("en-US,en;q=0.9", "en"),
        ("ja", "ja"),
        ("zh-CN,zh;q=0.9", "zh-CN"),
        ("zh-TW", "zh-TW"),
        ("zh-HK", "zh-TW"),
        ("zh-Hant-MO", "zh-TW"),
        ("zh-SG", "zh-CN"),
        ("de-DE,de;q=0.9,ja;q=0.5", "ja"),
        ("en;q=0.1, ko;q=0.9", "ko"),
        ("de", "en"),
        ("", "en"),
        (";;q=x,,ko", "ko"),
    ],
)
def test_the_browsers_wish(accept, language):
    assert chosen_language("", accept) == language


def test_the_cookie_wins_if_it_is_a_language():
    assert chosen_language("a=b; rvc_language=ja", "ko") == "ja"
    assert chosen_language("rvc_language=xx", "ko") == "ko"
    assert chosen_language("my_rvc_language=ja", "ko") == "ko"


def test_an_unknown_key_is_a_mistake():
    with pytest.raises(KeyError):
        t("common.no_such_text")


def test_values_are_filled_in():
    assert "boom" in say("ko", "common.bug", error="boom")
    assert say("ko", "common.tab.help") == "도움말"


def test_the_browser_gets_no_text_with_a_gap():
    sent = i18n.browser_texts().translations
    assert set(sent) == set(i18n.LANGUAGES)
    assert all("{" not in text for texts in sent.values() for text in texts.values())
    assert "common.bug" not in sent["en"] and "common.tab.help" in sent["en"]
