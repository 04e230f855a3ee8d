"""The demo voices: cut out of the base, speakers by name, each with rows of an index of its own."""

import numpy as np
import pytest

from infer.lib.errors import BadInput
from infer.lib.index_choice import find_index_for
from infer.vc.options import ConvertOptions
from infer.vc.pipeline import convert
from infer.vc.voice import Voice
from tests.vc.conftest import StubEncoder, StubShelf
from tests.web.pages import demo_voices, starter_name


@pytest.fixture
def voice(tmp_path):
    return Voice.load(demo_voices(tmp_path))


@pytest.fixture
def shelf():
    return StubShelf(StubEncoder(starter_name()))


def test_it_is_a_voice_without_what_training_needs(voice):
    assert voice.name == "starter" and voice.encoder == starter_name()
    assert voice.net.enc_q is None and voice.spec.n_speakers == 3


def test_speakers_have_names(voice):
    assert [voice.speaker_of(name) for name in ("", "Ann", "bo", "1")] == [0, 0, 2, 1]
    with pytest.raises(BadInput, match="starter has no speaker Eve: its speakers are Ann, Bo"):
        voice.speaker_of("Eve")


def test_each_speaker_is_drawn_to_its_own_rows(voice, shelf, tone):
    index = find_index_for(voice.path, []).path
    assert index.name == "demo_index.safetensors"
    for number in (0, 2):
        found = shelf.index(index, number).blend(np.zeros((1, 768), np.float32), 1.0)
        assert found == pytest.approx(number + 1, rel=0.01)
    assert shelf.index(index, 0) is shelf.index(index, 0)
    options = ConvertOptions(speaker_id=2, index_rate=1.0)
    result = convert(tone(0.5), voice, shelf, options, index=index)
    assert result.index_used == index and not result.warnings
    other = convert(tone(0.5), voice, shelf, ConvertOptions(speaker_id=0, index_rate=1.0), index=index)
    assert not np.array_equal(result.audio, other.audio)


def test_a_speaker_without_rows_is_converted_without_an_index(voice, shelf, tone):
    index = find_index_for(voice.path, []).path
    result = convert(tone(0.5), voice, shelf, ConvertOptions(speaker_id=1), index=index)
    assert result.index_used is None
    assert "no feature index was used" in str(result.warnings[0])


def test_another_encoder_than_that_of_the_rows_is_refused(voice, tmp_path, tone):
    index = find_index_for(voice.path, []).path
    with pytest.raises(BadInput, match="was made with the content encoder"):
        convert(tone(0.5), voice, StubShelf(StubEncoder("starter-9:000000000000")), index=index)
