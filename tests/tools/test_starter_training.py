"""The recipe of the content encoder: its material, its disturbances, and what a frame is said to be."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from infer.lib.errors import BadInput
from tools.starter import augment, corpus, learner, synthesis, targets
from tools.starter.phones import inventory
from tools.starter.pool import Choice, Pool
from tools.starter.words import Recogniser


def test_sentences_are_joined_up_to_eight_seconds_and_no_further():
    text = "One, two, three. " + "and so on, " * 30 + "end."
    sentences = synthesis.sentences_of(text)
    assert sentences[0] == "One, two, three."
    assert all(8 <= len(sentence) <= 110 for sentence in sentences)
    assert " ".join(sentences).count("and so on,") == 30


def test_a_guess_is_cut_at_pauses_into_pieces_of_twelve_seconds():
    words = []
    for second in range(0, 30, 2):
        words += [["word(2)", 100 * second, 100 * second + 150, -1.0]]
        words += [["<sil>", 100 * second + 151, 100 * second + 199, 0.0]]
    pieces = list(corpus._pieces(words, 30.0))
    assert [piece[0] for piece in pieces[1:]] == [piece[1] for piece in pieces[:-1]]
    assert (pieces[0][0], pieces[-1][1]) == (0.0, 30.0)
    assert max(end - start for start, end, _ in pieces) <= corpus.MAX_PIECE_S
    assert " ".join(text for *_, text in pieces) == " ".join(["word"] * 15)


def test_frames_between_two_peaks_belong_to_the_nearer_one():
    log_probs = torch.full((30, 4), -9.0)
    log_probs[:, 0] = 0.0
    for frame, phone in ((4, 1), (8, 2), (25, 3)):
        log_probs[frame] = torch.tensor([-9.0] * 4)
        log_probs[frame, phone] = 0.0
    labels, trust = targets.align(log_probs.log_softmax(-1), (1, 2, 3))
    assert labels[:6].tolist() == [1] * 6 and labels[7:13].tolist() == [2] * 6
    assert labels[16].item() == 0 and labels[20:].tolist() == [3] * 10  # far from both: nothing
    assert trust.min() > 0.9


def test_more_phones_than_frames_are_no_alignment():
    labels, trust = targets.align(torch.zeros(3, 4).log_softmax(-1), (1, 1, 2, 3))
    assert labels.tolist() == [targets.UNKNOWN] * 3 and trust.max() == 0


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Three clips of tones, two speakers."""
    folder = tmp_path_factory.mktemp("corpus")
    items = []
    for number, (seconds, speaker) in enumerate(((1.5, "a"), (2.0, "b"), (1.0, "a"))):
        tone = 0.3 * np.sin(np.arange(int(16000 * seconds)) * 0.1 * (number + 1))
        soundfile.write(folder / f"{number}.wav", tone, 16000)
        items.append(corpus.Item(f"{number}.wav", "x", speaker, "en", 0.0, seconds, "human", "", (1, 2)))
    content = {"phones": ["<b>", "p", "q"], "items": [vars(item) for item in items]}
    (folder / "items.json").write_text(json.dumps(content), encoding="utf-8")
    pool = Pool(folder, "items", "cpu", workers=1)
    pool.add_speeds()
    return pool


def test_a_faster_clip_lies_in_its_window_at_its_offset(pool):
    batch = pool.batch(Choice(4.0, [1, 2], [128, 100], [1.0, 1.0]), np.random.default_rng(0))
    assert batch.audio.shape == (2, 64000) and batch.speed.tolist() == pytest.approx([1.28, 1.0])
    for row, length in enumerate((32000 / 1.28, 16000)):
        heard_at = torch.nonzero(batch.audio[row].abs() > 1e-3)[:, 0]
        assert abs(int(heard_at[0]) - int(batch.offset[row])) < 40
        assert abs(int(heard_at[-1] - heard_at[0]) - length) < 80


def test_every_item_is_drawn_and_fits_even_when_stretched(pool):
    draw, seen = np.random.default_rng(3), set()
    for _ in range(4):
        for choice in pool.epoch(batch_s=6.0, draw=draw):
            batch = pool.batch(choice, draw)
            lengths = [pool.seconds[n] * 100 / s for n, s in zip(choice.items, choice.speeds, strict=True)]
            ends = (batch.offset / 16000 + torch.tensor(lengths)) * batch.stretch
            assert float(ends.max()) <= choice.window_s + 0.01
            seen |= set(choice.items)
    assert seen == {0, 1, 2}


def test_source_times_undo_offset_speed_and_stretch(pool):
    batch = pool.batch(Choice(4.0, [1], [85], [1.25]), np.random.default_rng(5))
    moments = augment.source_times(batch, 200)[0]
    first = float(batch.offset[0]) / 320 * 1.25  # where the clip begins in the stretched window
    assert float(moments[round(first)]) == pytest.approx(0, abs=1)
    assert float(moments[round(first) + 50]) == pytest.approx(50 / 1.25 * 0.85, abs=1)


def test_disturbances_keep_shape_and_finiteness_and_change_the_picture(pool):
    torch.manual_seed(0)
    batch = pool.batch(Choice(3.0, [0, 1], [100, 100], [1.2, 1.0]), None)
    log_mel = augment.LogMel("cpu")
    plain = augment.normalised(log_mel(batch.audio))
    changed = augment.warped(log_mel(augment.disturbed(batch.audio)), batch.stretch)
    changed = augment.masked(augment.normalised(changed))
    assert changed.shape == plain.shape and torch.isfinite(changed).all()
    assert float((changed - plain).abs().mean()) > 0.05


def test_stretching_moves_a_moment_to_where_source_times_says(pool):
    """A click in the mel picture lands at its time times the stretch."""
    torch.manual_seed(1)
    mel = torch.zeros(1, 80, 201)
    mel[0, :, 80:84] = 1.0
    moved = augment.warped(mel, torch.tensor([1.25]))[0].mean(0)
    assert int(moved.argmax()) == pytest.approx(82 * 1.25, abs=3)


def test_the_saved_encoder_is_read_by_the_program(tmp_path):
    from infer.lib.content.starter import StarterEncoder

    torch.manual_seed(0)
    path = tmp_path / "encoder.safetensors"
    model = learner.Learner(3).eval()
    learner.save(path, model, ["<b>", "p", "q"])
    audio = torch.randn(16000) * 0.1
    content = StarterEncoder(path).encode(audio, "v2")
    with torch.inference_mode():
        expected = model(augment.normalised(augment.LogMel("cpu")(audio[None])))[0][0]
    assert content.shape == (49, 768)
    assert float((content - expected).abs().max()) < 0.02  # stored as fp16


def test_training_goes_on_from_a_saved_encoder(tmp_path):
    path = tmp_path / "encoder.safetensors"
    first, second = learner.Learner(3).eval(), learner.Learner(3).eval()
    learner.save(path, first, ["<b>", "p", "q"])
    learner.load(path, second, ["<b>", "p", "q"])
    mel = torch.randn(1, 80, 100)
    with torch.inference_mode():
        pairs = [
            (model.phones_ctc(model(mel)[0]), model.phones_frame(model(mel)[0])) for model in (first, second)
        ]
    for one, two in zip(*pairs, strict=True):
        assert float((one - two).abs().max()) < 0.02  # stored as fp16
    with pytest.raises(BadInput, match="knows q, which the corpus lacks"):
        learner.load(path, second, ["<b>", "p", "z"])


def test_a_corpus_may_know_more_phones_than_the_encoder_it_goes_on_from(tmp_path):
    path = tmp_path / "encoder.safetensors"
    first, second = learner.Learner(3).eval(), learner.Learner(5).eval()
    learner.save(path, first, ["<b>", "p", "q"])
    new = second.phones_ctc.weight[[1, 3]].clone()
    learner.load(path, second, ["<b>", "k", "p", "m", "q"])
    for head in ("phones_ctc", "phones_frame"):
        for key, tensor in getattr(first, head).state_dict().items():
            assert torch.equal(getattr(second, head).state_dict()[key][[0, 2, 4]], tensor.half().float())
    assert torch.equal(second.phones_ctc.weight[[1, 3]], new)


@pytest.mark.parametrize("left", [(), ("phones_ctc.weight",), ("phones_ctc.weight", "phones_ctc.bias")])
def test_an_encoder_without_all_heads_is_nothing_to_go_on_from(tmp_path, left):
    path = tmp_path / "encoder.safetensors"
    model = learner.Learner(3)
    heads = {name: model.get_parameter(name) for name in left}
    learner.write(path, {**model.network.state_dict(), **heads}, ["<b>", "p", "q"])
    with pytest.raises(BadInput, match="holds no phones_"):
        learner.load(path, model, ["<b>", "p", "q"])


def test_heads_of_another_number_of_phones_are_refused(tmp_path):
    path = tmp_path / "encoder.safetensors"
    learner.save(path, learner.Learner(1), ["<b>", "p", "q"])
    with pytest.raises(BadInput, match="holds no phones_ctc.weight for its phones"):
        learner.load(path, learner.Learner(3), ["<b>", "p", "q"])


def test_the_blank_stays_what_it_is(tmp_path):
    path = tmp_path / "encoder.safetensors"
    learner.save(path, learner.Learner(3), ["<b>", "p", "q"])
    with pytest.raises(BadInput, match="blanks"):
        learner.load(path, learner.Learner(3), ["p", "q", "<b>"])
    with pytest.raises(BadInput, match="knows <b>"):
        learner.load(path, learner.Learner(3), ["p", "q"])


@pytest.mark.parametrize("phones", [None, "no JSON", "5"])
def test_a_file_that_names_no_phones_is_told_so(tmp_path, phones):
    path = tmp_path / "encoder.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"phones": phones} if phones else None)
    with pytest.raises(BadInput, match="names no phones"):
        inventory(path)


def test_a_corrected_text_takes_the_place_of_a_guess(tmp_path, monkeypatch):
    speech = tmp_path / "speech"
    speech.mkdir()
    table = ["path,corpus,speaker,seconds,language,bandwidth_hz,transcript,licence"]
    table += [f"{name}.wav,libri,{name},5.0,en,8000,,x" for name in ("sure", "doubtful", "hidden", "guessed")]
    (speech / "manifest.csv").write_text("\n".join(table), encoding="utf-8")
    corrections = tmp_path / "corrections.csv"
    corrections.write_text(
        "path,confidence,text\nsure.wav,3,a shop boy\ndoubtful.wav,1,a shock\n"
        "hidden.wav,3,please call stella\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(corpus, "CORRECTIONS", corrections)
    guesses = tmp_path / "guesses.jsonl"
    segments = [["a", 0, 30, 1.0], ["shark", 31, 90, 1.0]]
    lines = [
        json.dumps({"path": f"{name}.wav", "segs": segments})
        for name in ("sure", "doubtful", "hidden", "guessed")
    ]
    guesses.write_text("\n".join(lines), encoding="utf-8")
    items = list(corpus._guesses(guesses, speech, {"please call stella"}, set()))
    assert [(item.kind, item.text) for item in items] == [
        ("human", "a shop boy"), ("guess", "a shock"), ("none", ""), ("guess", "a shark"),
    ]  # fmt: skip


def test_a_learner_is_random_while_it_learns_and_only_then():
    model = learner.Learner(3)
    mel = torch.randn(6, 80, 60, generator=torch.Generator().manual_seed(0))
    last = model.network.blocks[0].ffn_out
    seen, added, content = [], [], []
    last.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    last.register_forward_hook(lambda module, inputs, output: added.append(output.detach()))
    model.phones_ctc.register_forward_hook(lambda module, inputs, output: content.append(inputs[0].detach()))
    torch.manual_seed(1)
    for _ in range(20):
        model.phones_ctc(model(mel)[0])
    assert 0.02 < zeros(torch.stack(added).abs().sum((2, 3))) < 0.25  # of 120 clips, past this part
    for dropped in (seen, content):
        assert zeros(torch.stack(dropped)) == pytest.approx(0.2, abs=0.01)
    ones = torch.ones(4000, 10, 2)
    assert learner._skipped(torch.nn.Identity(), (), ones).mean() == pytest.approx(1, abs=0.02)
    model.eval()
    first, again = (model(mel)[0] for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(model.train()(mel)[0], first)


def zeros(values: torch.Tensor) -> float:
    """Their share."""
    return float((values == 0).float().mean())


def test_every_voice_says_its_share_of_the_sentences(tmp_path, monkeypatch):
    verses = [f"And verse {n} was." for n in range(199)]
    monkeypatch.setattr(synthesis, "bible_text", lambda: "\n".join(verses))
    monkeypatch.setattr(synthesis, "prompts", lambda recordings, language: [f"a prompt in {language}"])
    monkeypatch.setattr(synthesis, "corrected_texts", lambda: ["what somebody read " * 9])
    options = synthesis.SynthesisOptions(tmp_path, tmp_path, sentences=100, foreign_sentences=20)
    counts, texts, paths = {}, {}, {}
    for voice, text, path in synthesis.plan(options):
        assert path.parent.name == voice.name.replace("+", "-")
        paths[path] = text
        counts[voice] = counts.get(voice, 0) + 1
        texts.setdefault(voice.language, set()).add(text)
    assert {v.name: n for v, n in counts.items() if v.program == "flite"} == {
        "slt": 100, "rms": 100, "awb": 100, "kal16": 30,
    }  # fmt: skip
    assert sum(n for v, n in counts.items() if v.program == "pico" and v.language == "en-gb") == 240
    assert texts["de"] == {"a prompt in de"} and "a prompt in en" in texts["en-us"] | texts["en-gb"]
    read = [text for text in texts["en-us"] | texts["en-gb"] if text.startswith("what somebody read")]
    assert read and all(len(text) <= 110 for text in read)  # cut between words where there is no comma
    first = [text for path, text in paths.items() if path.parent.name == "slt"]
    assert set(first) != set(verses[:100])  # the kinds of texts are mixed
    del verses[::3]
    again = {path: text for _, text, path in synthesis.plan(options)}
    assert all(paths.get(path, text) == text for path, text in again.items())  # kept files say what they said
    assert len(paths.keys() & again.keys()) > 100


def test_a_sentence_that_pico_cannot_speak_leaves_no_file(tmp_path, monkeypatch):
    (tmp_path / "ttspico.py").write_text(
        "class TtsEngine:\n    def __init__(self, language): pass\n"
        "    def speak(self, text): return b'\\0' * 32000 if 'hello' in text else None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    voice, path = synthesis.Voice("pico", "en-GB+85", "en-gb"), tmp_path / "a" / "b.opus"
    assert not synthesis._speak_once(voice, "nothing comes of it", path) and not path.exists()
    assert synthesis._speak_once(voice, "hello there", path)
    assert soundfile.info(path).duration == pytest.approx(1, abs=0.02)


def test_without_pico_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="ttspico is missing.*requirements.txt"):
        synthesis.run(synthesis.SynthesisOptions(tmp_path, tmp_path), print)


def test_the_recogniser_forgets_what_it_heard_before(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", SimpleNamespace(Decoder=Forgetful))
    recogniser = Recogniser()
    tone = np.sin(np.arange(1600, dtype=np.float32))
    assert recogniser.words(tone) == recogniser.words(tone) == ["heard", "one"]


class Forgetful:
    """A decoder whose result tells how much it heard since its last `reinit_feat`."""

    def __init__(self, **settings):
        self.heard = 0

    def reinit_feat(self):
        self.heard = 0

    def start_utt(self):
        self.heard += 1

    def process_raw(self, samples: bytes, full_utt: bool):
        assert len(samples) == 3200 and full_utt

    def end_utt(self):
        pass

    def hyp(self):
        return SimpleNamespace(hypstr="heard one" if self.heard == 1 else "heard more")
