"""Failures in the user's language: every translated sentence still exists, and says the same values."""

import ast
import errno
import os
import re
import string
from functools import cache
from pathlib import Path

import pytest

from infer.jobs.events import Failed
from infer.jobs.runner import StageFailed
from infer.lib.checkpoint_kinds import other_kind
from infer.lib.errors import BadInput, MissingFile, NoDevice
from infer.lib.files import inside, safe_name
from infer.stages.chain_options import TrainAllOptions
from infer.stages.ckpt.options import MergeOptions
from infer.vc.options import ConvertOptions
from infer.web.errors_i18n import AREA, OWN_KEYS, translated, translated_text, translated_words
from infer.web.i18n import LANGUAGES, texts
from tests.test_floors import ROOT, sources

FOREIGN = [language for language in LANGUAGES if language != "en"]
SYSTEM = {os.strerror(code) for code in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT, errno.EIO)}
FFMPEG = {"Invalid data found when processing input"}
LEAST_WEIGHT = 6  # characters outside the holes: anything shorter would fit sentences it was not meant for
SHORT = ("{} GiB", "{} is {}, not {}", "{} has {} {}, not {}", "the {} {} {}", "{}; it serves {}")


def keys(language: str) -> list[str]:
    found = [key for key in texts(language) if key.startswith(AREA) and key not in OWN_KEYS]
    return [key.removeprefix(AREA) for key in found]


def written(node: ast.AST) -> str | None:
    """A string expression as a template; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (written(node.left) or "{}") + (written(node.right) or "{}")
    return None


@cache
def source_templates() -> frozenset[str]:
    """Every string of the program, runs of holes taken together."""
    found = (written(node) for tree in sources().values() for node in ast.walk(tree))
    return frozenset(re.sub(r"(\{\})+", "{}", text) for text in found if text)


@pytest.mark.parametrize("language", FOREIGN)
def test_every_translated_sentence_is_still_in_the_sources(language):
    gone = [key for key in keys(language) if key not in source_templates() | SYSTEM | FFMPEG]
    assert gone == []


@pytest.mark.parametrize("language", FOREIGN)
def test_languages_have_the_same_sentences_with_the_same_values(language):
    assert keys(language) == keys("ko")
    for key in keys(language):
        used = [field for _, field, _, _ in string.Formatter().parse(texts(language)[AREA + key]) if field]
        assert all(int(field) < key.count("{}") for field in used), key
        assert len(set(used)) == len(used), key


def test_no_template_fits_everything():
    weights = {key: len(key.replace("{}", "")) for key in keys("ko") if "{}" in key}
    light = [key for key, weight in weights.items() if weight < LEAST_WEIGHT]
    assert set(light) <= set(SHORT), light


def test_names_of_files_survive_untranslated():
    path = Path("/음악/the folder does not exist/a voice.wav")
    text = translated(MissingFile(f"{path} does not exist", "check the path"), "ko")
    assert text == f"'{path}' 파일이 없습니다. 경로를 확인하세요"


def test_values_that_are_sentences_are_translated():
    assert translated(other_kind(Path("/x/G_9.pth"), "discriminator", "voice"), "ja") == (
        "「/x/G_9.pth」は音声モデルではなく識別器の学習チェックポイント（D_）です。"
        "音声モデルが入っているのは生成器のG_ファイルだけです"
    )
    with pytest.raises(BadInput) as caught:
        safe_name("con", "experiment name")
    assert translated(caught.value, "zh-CN") == "实验名 'con' 有问题：是Windows的保留名称。请换一个"
    with pytest.raises(BadInput) as caught:
        safe_name("is empty: a/b", "experiment name")
    text = translated(caught.value, "ko")
    assert text.startswith("실험 이름 'is empty: a/b'에 문제가 있습니다: 파일 이름에 쓸 수 없는 문자 ':'")


def test_sentences_inside_sentences_count_when_the_best_reading_is_chosen():
    value = "does not load (OSError: llvmlite.dll is gone); it serves pitch methods harvest and dio"
    expected = "불러올 수 없습니다(OSError: llvmlite.dll is gone). 용도: 음높이 방식 harvest와 dio"
    assert translated_words(value, "ko") == expected


def test_the_reason_of_a_job_is_translated_through_its_layers():
    reason = "cuda:0 ran out of memory; the last checkpoint is kept"
    hint = "run again with a smaller --batch-size than 8, or with --gradient-checkpointing=yes"
    error = StageFailed("train failed", str(NoDevice(reason, hint)))
    expected = (
        "학습 단계가 실패했습니다. cuda:0의 메모리가 부족합니다. 마지막 체크포인트는 보존되었습니다. "
        "배치 크기를 8보다 줄이거나 그래디언트 체크포인팅을 켜고 다시 실행하세요"
    )
    assert translated(error, "ko") == expected
    assert translated_text(str(error), "ko") == expected


def test_a_process_that_was_ended_from_outside():
    text = translated_text("ended with code -15; see /logs/새 가수/train.log", "ko")
    assert text == "프로세스가 코드 -15(으)로 끝났습니다. 자세한 내용: /logs/새 가수/train.log"


def test_a_full_disk_and_a_refused_folder():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/logs/a b/G_1.pth")
    assert translated(full, "ko") == (
        "시스템이 읽기나 쓰기를 거부했습니다 /logs/a b/G_1.pth: 디스크에 남은 공간이 없습니다. "
        "공간을 비우고 다시 실행하세요"
    )
    with pytest.raises(BadInput) as caught:
        inside(ROOT, "../x")
    assert str(ROOT) in translated(caught.value, "zh-TW")
    assert "資料夾" in translated(caught.value, "zh-TW")


@pytest.mark.parametrize("language", FOREIGN)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ConvertOptions(f0_up_key=400),
        lambda: ConvertOptions(speaker_id=-1),
        lambda: ConvertOptions(resample_sr=8000),
        lambda: ConvertOptions(format="aiff"),
        lambda: TrainAllOptions(experiment=Path("x"), gpus="0,1"),
        lambda: TrainAllOptions(experiment=Path("x"), slice_s=100.0),
        lambda: TrainAllOptions(experiment=Path("x"), batch_size=0),
        lambda: TrainAllOptions(experiment=Path("x"), processes=-1),
        lambda: MergeOptions((Path("a"), Path("b")), weight=(0.0, 0.0), name="c"),
    ],
)
def test_numbers_out_of_range_are_told_in_the_language_of_the_page(wrong, language):
    with pytest.raises(ValueError) as caught:
        wrong()
    text = translated(caught.value, language)
    assert text != str(caught.value) and str(caught.value) not in text


def test_a_known_message_keeps_an_unknown_hint():
    error = MissingFile("there is no voice in /w", "do something new")
    assert translated(error, "ko") == "'/w'에 음색이 없습니다. do something new"


def test_unknown_sentences_stay_english_under_a_heading():
    assert translated(BadInput("a brand new failure"), "ko") == "오류 내용(영어): a brand new failure"
    assert translated_words("a brand new failure", "ko") == "a brand new failure"
    assert translated(ValueError("odd {braces} and: colons; too"), "ja").endswith(
        "odd {braces} and: colons; too"
    )


def test_english_is_left_alone():
    error = BadInput("the folder x holds no recordings", "put wav, flac, mp3 or m4a there")
    assert translated(error, "en") == str(error)
    assert translated_text("", "ko") == ""


@pytest.mark.parametrize("language", FOREIGN)
def test_sentences_of_events_with_many_separators_are_read_quickly(language):
    reason = ": ".join(["none of this"] * 60) + "; the disk is full"
    assert translated_text(Failed("x", reason).reason, language)
