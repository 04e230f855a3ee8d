"""No label without its five languages: keys, placeholders, scripts, and no text outside the tables."""

import ast
import re
import string
from collections.abc import Iterator
from functools import cache

import pytest

from infer.web.errors_i18n import AREA as ERRORS
from infer.web.i18n import DEFAULT, FOLDER, LANGUAGES, browser_texts, known, say, t, texts
from tests.test_floors import dotted, sources

FOREIGN = [language for language in LANGUAGES if language != DEFAULT]
AREAS = sorted(path.stem for path in (FOLDER / DEFAULT).glob("*.json"))
OWN = [area for area in AREAS if f"{area}." != ERRORS]  # errors.json has a test of its own
AREA = rf"({'|'.join(OWN)})"
KEY, BEGINNING, START = (
    re.compile(rf"{AREA}\.[\w.-]+\w"),
    re.compile(rf"{AREA}\.([\w.]+\.)?"),
    re.compile(rf"{AREA}\\\."),
)
ASKING = ("t", "say", "known", "labelled", "slider", "number", "checkbox", "text", "radio", "dropdown")

# Names and values that look the same in every language.
NAMES = re.compile(
    r"""(?x) \b(?: RVC | GPU s? | CPU | CUDA | API | OS | ID | Hz | kHz | MB | GiB | MiB | SHA-256 | zip
    | RMVPE | HuBERT | Compute\sCapability | ckpt | fp16 | fp32 | bf16 | min | s | dB
    | v1 | v2 | A | B | F0 | \w+\.pth | [GD]_?\* | x_\w+ )\b"""
)
SCRIPTS = {
    "ko": re.compile(r"[가-힣]"),
    "ja": re.compile(r"[ぁ-んァ-ヶ一-龠]"),
    "zh-CN": re.compile(r"[一-龠]"),
    "zh-TW": re.compile(r"[一-龠]"),
}
# Forms that the other Chinese script does not use.
SIMPLIFIED = set("训练转换语个这为们来对开应时长显设备运请务项发现连终处该轮数据删标签错误导检测载览区复选择")
TRADITIONAL = set(
    "訓練轉換語個這為們來對開應時長顯設備運請務項發現連終處該輪數據刪標籤錯誤導檢測載覽區複選擇"
)

WRITTEN = ("label", "info", "placeholder", "title", "description")
FIRST_IS_TEXT = ("Button", "UploadButton", "DownloadButton", "Markdown", "Tab", "Accordion")
FIRST_IS_TEXT += ("Info", "Warning", "Error", "Success")


@cache
def page() -> dict[str, ast.Module]:
    return {str(path): tree for path, tree in sources().items() if path.parts[:2] == ("infer", "web")}


def own(language: str) -> dict[str, str]:
    return {key: text for key, text in texts(language).items() if not key.startswith(ERRORS)}


def pattern(node: ast.AST) -> re.Pattern | None:
    """The keys that a string expression may be; None for other strings. An f-string stands for several."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if BEGINNING.fullmatch(node.value):
            return re.compile(re.escape(node.value) + r"[\w.]+")
        return re.compile(re.escape(node.value)) if KEY.fullmatch(node.value) else None
    if isinstance(node, ast.JoinedStr):
        parts = [re.escape(p.value) if isinstance(p, ast.Constant) else r"[\w-]+" for p in node.values]
        return re.compile("".join(parts)) if START.match("".join(parts)) else None
    return None


def test_every_key_that_is_asked_for_has_its_text():
    missing = []
    for path, tree in page().items():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            if dotted(call.func).rpartition(".")[2] not in ASKING:
                continue
            for node in (*call.args, *(word.value for word in call.keywords)):
                wanted = pattern(node)
                if wanted and not any(map(wanted.fullmatch, own(DEFAULT))):
                    missing.append(f"{path}:{node.lineno} {ast.unparse(node)}")
    assert missing == []


def test_every_text_is_used():
    """The help line `key.info` goes with its key."""
    found = [pattern(node) for tree in page().values() for node in ast.walk(tree)]
    wanted = [keys for keys in found if keys]
    unused = [
        key
        for key in own(DEFAULT)
        if not any(keys.fullmatch(key) or keys.fullmatch(key.removesuffix(".info")) for keys in wanted)
    ]
    assert unused == []


@pytest.mark.parametrize("language", FOREIGN)
def test_languages_have_the_same_keys(language):
    assert own(language).keys() == own(DEFAULT).keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_hold_the_keys_of_their_area(language):
    for area in AREAS:
        for key in {**texts(language)}:
            assert key.partition(".")[0] in AREAS, key
        assert (FOLDER / language / f"{area}.json").is_file()


def placeholders(text: str) -> list[tuple[str, str]]:
    return sorted((name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("language", FOREIGN)
def test_placeholders_are_the_same(language):
    differing = [
        key
        for key, text in own(language).items()
        if set(placeholders(text)) != set(placeholders(own(DEFAULT).get(key, "")))
    ]
    assert differing == []


@pytest.mark.parametrize("language", FOREIGN)
def test_texts_are_in_the_script_of_their_language(language):
    """English that was forgotten shows here."""
    foreign = []
    for key, text in own(language).items():
        rest = NAMES.sub("", re.sub(r"\{[^}]*\}|`[^`]*`", "", text))
        if not SCRIPTS[language].search(text) and re.search(r"[A-Za-z]", rest):
            foreign.append(f"{key}: {text}")
    assert foreign == []


@pytest.mark.parametrize(("language", "wrong"), [("zh-CN", TRADITIONAL), ("zh-TW", SIMPLIFIED)])
def test_chinese_is_written_in_its_own_characters(language, wrong):
    allowed = SIMPLIFIED & TRADITIONAL
    odd = {key: found for key, text in texts(language).items() if (found := set(text) & wrong - allowed)}
    assert odd == {}


def test_labels_that_the_browser_translates_have_no_placeholders():
    marked = [
        call.args[0].value
        for tree in page().values()
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        if dotted(call.func) == "t" and call.args and isinstance(call.args[0], ast.Constant)
    ]
    assert len(marked) > 20
    assert [key for key in marked if "{" in texts(DEFAULT)[key]] == []
    sent = browser_texts().translations
    assert all(key in sent[language] for key in marked for language in LANGUAGES)


def literal(node: ast.AST | None) -> bool:
    """Is this text with words, written in the source?"""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(re.search(r"[^\W\d_]", node.value))
    if isinstance(node, ast.JoinedStr):
        return any(literal(part) for part in node.values)
    return False


def untranslated(tree: ast.Module) -> Iterator[str]:
    """Texts passed to a gr component or message without t() or say()."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = dotted(call.func)
        if not name.startswith("gr."):
            continue
        words = {word.arg: word.value for word in call.keywords}
        suspects = [words.get(argument) for argument in WRITTEN]
        if name.removeprefix("gr.") in FIRST_IS_TEXT:
            suspects += [words.get("value"), *call.args[:1]]
        yield from (f"{call.lineno} {ast.unparse(node)}" for node in suspects if literal(node))


def test_no_text_bypasses_the_tables():
    found = [f"{path}:{where}" for path, tree in page().items() for where in untranslated(tree)]
    assert found == []


# Errors are translated where they are shown; programs, bug reports and the console read English.
ENGLISH_BY_PURPOSE = ("api", "diagnostics.py", "launch.py", "i18n.py", "head.py", "machine.py", "voices.py")
UNITS = re.compile(r"\b(?:Hz|dB|GiB|MB|s|Python)\b")


def composed(tree: ast.Module) -> Iterator[str]:
    """f-strings with an English word outside tags: `f"{n} min"`; Gradio's own word for counted progress."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "0" for part in node.values]
            words = re.sub(r"<[^>]*(>|$)|^[^<]*>", "", "".join(parts))
            if re.search(r"(?:^|[0 ]) ?[A-Za-z]+(?: |$)", UNITS.sub("", words)) and " " in words:
                yield f"{node.lineno} {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and dotted(node.func) == "progress":
            # A pair is shown as "2/3 steps".
            yield from (f"{node.lineno} {ast.unparse(node)}" for first in node.args[:1] if _is_pair(first))


def _is_pair(node: ast.AST) -> bool:
    return isinstance(node, ast.Tuple)


def test_no_english_is_put_together_in_the_code():
    shown = {path: tree for path, tree in page().items() if not {*path.split("/")} & {*ENGLISH_BY_PURPOSE}}
    assert [f"{path}:{where}" for path, tree in shown.items() for where in composed(tree)] == []


def test_that_rule_itself():
    bad = ['f"{a} / {b} min"', 'f"<p>{a}</p> left"', "progress((1, 2), desc=x)"]
    good = ['f"{a} Hz"', 'f"<p class={a}>{b}</p>"', 'f"{key}.info"', "progress(0.5, desc=x)"]
    assert len(list(composed(ast.parse("\n".join(bad))))) == len(bad)
    assert list(composed(ast.parse("\n".join(good)))) == []


def test_the_rule_itself():
    lines = ['gr.Button("Stop")', 'gr.Button(t("x"))', 'gr.Number(1, label=f"a {b}")']
    source = "\n".join([*lines, 'gr.update(info="12 %")', 'gr.Info(say("x"))'])
    assert [where.split()[0] for where in untranslated(ast.parse(source))] == ["1", "3"]


def test_texts_are_found_and_filled():
    assert say("ko", "common.tab.train") == "학습"
    assert say("xx", "common.tab.train") == texts("en")["common.tab.train"]
    assert known("common.tab.train")
    assert not known("common.nothing")
    with pytest.raises(KeyError):
        t("common.nothing")
