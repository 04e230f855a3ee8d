"""The A/B player's values, and how results of one recording are labelled."""

from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from infer.vc.options import ConvertOptions
from infer.web import comparison
from infer.web.ab_player import MOST, ABPlayer
from infer.web.comparison import Pin, labels, pinned
from infer.web.i18n import LANGUAGES


@pytest.fixture
def player():
    with gr.Blocks(analytics_enabled=False):
        player = ABPlayer("ab")
        player.build()
    return player


def test_value_holds_files_that_the_browser_may_fetch(player, tmp_path):
    paths = [tmp_path / f"{number} 노래.wav" for number in range(6)]
    update = player.value([(f"epoch {number}", path) for number, path in enumerate(paths)])
    items = update["value"]["items"]
    assert len(items) == MOST
    assert update["visible"] is True
    assert [item["label"] for item in items] == ["epoch 0", "epoch 1", "epoch 2", "epoch 3"]
    assert items[0]["file"]["path"] == str(paths[0])
    assert items[0]["file"]["meta"] == {"_type": "gradio.FileData"}
    assert all(update["value"]["texts"].values())


def test_nothing_to_play_hides_the_player(player):
    assert player.value([])["visible"] is False


def test_the_player_is_general(player):
    """The Train tab uses it too: nothing of the Convert tab is in its script."""
    assert "watch(" in player.component.js_on_load
    assert "convert" not in player.component.js_on_load


def pin(tmp_path, name="a", source="song.wav", voice="anna_e10_s500.pth", index="", **options) -> Pin:
    path = tmp_path / f"{name}.wav"
    path.touch()
    return Pin(path, source, Path(voice), ConvertOptions(**options), index)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"index_rate": 0.5}, ["index 0.75", "index 0.5"]),
        ({"f0_up_key": 12.0}, ["key +0", "key +12"]),
        ({"voice": "anna_e20_s1000.pth"}, ["epoch 10", "epoch 20"]),
        ({"voice": "bob.pth"}, ["anna_e10_s500", "bob"]),
        ({"index": "added.index"}, ["no index", "added.index"]),
        ({"f0_method": "pm", "protect": 0.5}, ["auto, protect 0.33", "pm, protect 0.5"]),
        ({}, ["epoch 10", "epoch 10"]),
    ],
)
def test_labels_say_what_differs(tmp_path, changes, expected):
    pins = [pin(tmp_path), pin(tmp_path, "b", **changes)]
    found = labels(pins, "en")
    if not changes:
        assert found == ["anna_e10_s500", "anna_e10_s500"]
    else:
        assert found == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_has_words_in_every_language(tmp_path, language):
    changed = ConvertOptions(
        speaker_id=1, f0_up_key=1, f0_method="pm", index_rate=0, filter_radius=0, resample_sr=16000,
        rms_mix_rate=0, protect=0, f0_file=Path("c.csv"), seed=1,
    )  # fmt: skip
    pins = [pin(tmp_path), replace(pin(tmp_path, "b"), options=changed)]
    label = labels(pins, language)[1]
    assert label.count(",") == 9
    for field in ("speaker_id", "index_rate", "filter_radius", "rms_mix_rate", "resample_sr", "f0_"):
        assert field not in label
    assert "None" not in labels(pins, language)[0]


def test_pins_of_one_recording_four_at_most(tmp_path):
    pins = []
    for number in range(6):
        pins = pinned(pins, pin(tmp_path, str(number)))
    assert [p.path.stem for p in pins] == ["2", "3", "4", "5"]
    assert pinned(pins, pins[1])[-1] == pins[1]
    assert len(pinned(pins, pins[1])) == 4
    other = pin(tmp_path, "other", source="another.wav")
    assert pinned(pins, other) == [other]


def test_results_that_were_cleaned_away_are_dropped(tmp_path):
    old = pin(tmp_path, "old")
    old.path.unlink()
    new = pin(tmp_path, "new")
    assert comparison.pinned([old], new) == [new]
    assert labels([new], "en") == ["anna_e10_s500"]
