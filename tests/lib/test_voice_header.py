"""Headers without torch: they agree with what torch reads, and nothing hostile gets further."""

import io
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from infer.lib import checkpoint_inert
from infer.lib.checkpoint import kind_of, read_voice, write_training, write_voice
from infer.lib.checkpoint_voice import voice_content
from infer.lib.errors import BadCheckpoint, MissingFile, RvcError
from infer.lib.voice_header import FileHeader, read_header
from tests.lib.test_checkpoint_kinds import KINDS
from tests.lib.tiny_voices import malicious, tiny_checkpoint, tiny_spec, tiny_voice

VOICES = Path(__file__).parents[1] / "data" / "voices"
FOREIGN = Path(__file__).parents[1] / "data" / "hubert_fairseq_tiny_fp16.pt"


def facts(path: Path) -> tuple:
    voice, header = read_voice(path), read_header(path)
    spec = voice.spec
    expected = (spec.version, spec.sample_rate, spec.use_f0, spec.n_speakers, voice.info, voice.encoder)
    told = header.version, header.sample_rate, header.use_f0, header.n_speakers, header.info, header.encoder
    return told, expected


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("use_f0", [True, False])
@pytest.mark.parametrize("sample_rate", [32000, 40000, 48000])
def test_a_header_tells_what_torch_reads(tmp_path, version, use_f0, sample_rate):
    path = tmp_path / "목소리.pth"
    spec = tiny_spec(version, use_f0, sample_rate, n_speakers=5)
    write_voice(path, tiny_voice(spec, info="3epoch", encoder="starter-1:abc"))
    told, expected = facts(path)
    assert told == expected == (version, sample_rate, use_f0, 5, "3epoch", "starter-1:abc")
    assert read_header(path).kind == "voice"


def test_a_voice_that_another_program_made():
    for path in VOICES.glob("*.pth"):
        told, expected = facts(path)
        assert told == expected


@pytest.mark.parametrize("zip_container", [True, False])
def test_old_files_and_files_without_version(tmp_path, zip_container):
    content = voice_content(tiny_voice(tiny_spec("v1")))
    del content["version"], content["f0"]
    path = tmp_path / "old.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zip_container)
    told, expected = facts(path)
    assert told == expected
    assert told[0] == "v1"


def test_our_notes(tmp_path):
    notes = {"median_hz": 187.25, "speaker_names": ["anna", "", "bob"], "author": "나", "license": "CC0"}
    write_voice(tmp_path / "a.pth", tiny_voice(fill_unvoiced=True, extra=notes))
    header = read_header(tmp_path / "a.pth")
    assert (header.median_hz, header.speaker_names) == (187.25, ("anna", "", "bob"))
    assert (header.author, header.licence, header.fill_unvoiced) == ("나", "CC0", True)
    write_voice(tmp_path / "b.pth", tiny_voice(extra={"median_hz": "high", "speaker_names": "x"}))
    header = read_header(tmp_path / "b.pth")
    assert (header.median_hz, header.speaker_names) == (None, ())


def test_training_checkpoints_are_recognised(tmp_path):
    spec = tiny_spec("v2", True, 48000)
    write_training(tmp_path / "G_5.pth", tiny_checkpoint(spec, epoch=9))
    header = read_header(tmp_path / "G_5.pth")
    assert (header.kind, header.version, header.sample_rate, header.epoch) == ("generator", "v2", 48000, 9)
    write_training(tmp_path / "ours.pth", tiny_checkpoint(spec, spec=vars(spec), encoder="hubert:1"))
    header = read_header(tmp_path / "ours.pth")
    assert (header.use_f0, header.n_speakers, header.encoder) == (True, 3, "hubert:1")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kinds_agree_with_torch(tmp_path, kind):
    path = tmp_path / "file.pth"
    path.write_bytes(KINDS[kind])
    if kind in ("empty", "damaged"):
        with pytest.raises(BadCheckpoint):
            read_header(path)
    else:
        assert read_header(path) == FileHeader(kind_of(path))


def test_other_files(tmp_path):
    assert read_header(FOREIGN).kind == "hubert"
    save_file({"attention_qkv.weight": torch.ones(2)}, tmp_path / "a.st", metadata={"name": "starter"})
    assert (read_header(tmp_path / "a.st").kind, read_header(tmp_path / "a.st").extra["name"]) == (
        "starter",
        "starter",
    )
    with pytest.raises(MissingFile):
        read_header(tmp_path / "none.pth")
    with pytest.raises(BadCheckpoint, match="a folder"):
        read_header(tmp_path)


@pytest.mark.parametrize("container", ["zip", "stream", "pickle"])
@pytest.mark.parametrize("case", malicious("x"))
def test_nothing_in_a_file_is_run(tmp_path, case, container):
    marker, path = tmp_path / "it ran", tmp_path / "voice.pth"
    content = malicious(marker)[case]
    if container == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=4))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    with pytest.raises(BadCheckpoint) as caught:
        read_header(path)
    assert not marker.exists()
    # A bare pickle may hold instructions that torch never writes.
    assert container == "pickle" or "asks for " in str(caught.value)


def in_archive(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("voice/data.pkl", data)
    return buffer.getvalue()


BOMBS = {
    "a memo slot of four thousand million": b"\x80\x02}r\xff\xff\xff\xff.",
    "a text longer than the file": b"\x80\x02X\xff\xff\xff\x7fa.",
    "a key of nested tuples": b"\x80\x02})" + b"\x85" * 500_000 + b"Ns.",
    "bytes of any length": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
    "no end": b"\x80\x02N" + b"0N" * 2_000_000,
    "an object of what is no class": b"\x80\x02X\x03\x00\x00\x00abc)\x81.",
    "items for a number": b"\x80\x02K\x01K\x02a.",
    "an empty stack": b"\x80\x02u.",
    "a tensor of impossible size": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00J\xff\xff\xff\xff\x85tR."
    ),
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_are_damaged_files(tmp_path, name, monkeypatch):
    monkeypatch.setattr(checkpoint_inert, "MAX_STEPS", 600_000)
    path = tmp_path / "voice.pth"
    path.write_bytes(in_archive(BOMBS[name]))
    if name == "a memo slot of four thousand million":
        assert read_header(path).kind == "unknown"
        return
    with pytest.raises(BadCheckpoint):
        read_header(path)


def test_a_pickle_of_unusual_size_is_not_unpacked(tmp_path):
    path = tmp_path / "voice.pth"
    path.write_bytes(in_archive(b"\x80\x02" + bytes(checkpoint_inert.MAX_PICKLE_BYTES)))
    assert path.stat().st_size < 2**17
    with pytest.raises(BadCheckpoint, match="damaged"):
        read_header(path)


@pytest.mark.parametrize("zip_container", [True, False])
def test_damage_never_escapes_as_a_traceback(tmp_path, zip_container):
    path = tmp_path / "voice.pth"
    torch.save(voice_content(tiny_voice()), path, _use_new_zipfile_serialization=zip_container)
    whole = path.read_bytes()
    generator = torch.Generator().manual_seed(2)
    for number in range(120):
        damaged = bytearray(whole)
        start = int(torch.randint(0, 9000, (1,), generator=generator))
        damaged[start : start + 6] = bytes(torch.randint(0, 256, (6,), generator=generator).tolist())
        path.write_bytes(damaged if number % 4 else whole[:start])
        try:
            read_header(path)
        except RvcError as error:
            assert "\n" not in str(error)  # noqa: PT017 - reading may also succeed


def test_a_voice_cut_short_is_damaged(tmp_path):
    whole = next(VOICES.glob("*.pth"))
    path = tmp_path / "cut.pth"
    shutil.copy(whole, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadCheckpoint, match="damaged"):
        read_header(path)


def test_torch_is_not_needed():
    path = next(VOICES.glob("*.pth"))
    code = (
        "import sys; from infer.lib.voice_header import read_header; "
        "header = read_header(sys.argv[1]); print(header.kind, header.version); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'safetensors')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "voice v2"), done.stderr
