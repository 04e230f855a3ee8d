"""Files of the wrong kind, damaged files, and files that try to run code."""

import errno
import gzip
import io
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from infer.lib.checkpoint import (
    kind_of,
    load_base,
    read_hubert_pickle,
    read_metadata,
    read_tensors,
    read_training,
    read_voice,
    write_training,
    write_voice,
)
from infer.lib.checkpoint_voice import voice_content
from infer.lib.errors import BadCheckpoint, MissingFile
from tests.lib.tiny_voices import malicious, tiny_checkpoint, tiny_voice

READERS = (read_voice, read_training, read_tensors, read_hubert_pickle)


def saved(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "x")
    return buffer.getvalue()


KINDS = {
    "empty": b"",
    "text": "이것은 글이다. Not a voice.".encode(),
    "html": b"<!DOCTYPE html><html>404</html>",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "audio": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "index": b"IxF2\x00\x01\x00\x00" + bytes(40),
    "archive": zipped("voice.pth"),
    "discriminator": saved({"model": {"discriminators.0.convs.0.bias": torch.zeros(1)}, "iteration": 1}),
    "rmvpe": saved({"unet.encoder.bn.weight": torch.zeros(1)}),
    "crepe": saved({"conv1_BN.weight": torch.zeros(1), "classifier.weight": torch.zeros(1)}),
    "hubert": saved({"model": {"post_extract_proj.weight": torch.zeros(1)}}),
    "hubert-transformers": saved({"feature_projection.projection.weight": torch.zeros(1)}),
    "fcpe": saved({"model": {"stack.weight": torch.zeros(1)}, "config_dict": {}}),
    "tensors": saved({"a": torch.zeros(1)}),
    "unknown": saved([1, 2, 3]),
    "damaged": b"\x80\x02\xff\xff" * 50,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_comes_from_the_content(tmp_path, kind):
    path = tmp_path / "voice.pth"
    path.write_bytes(KINDS[kind])
    assert kind_of(path) == kind
    with pytest.raises(BadCheckpoint) as caught:
        read_voice(path)
    assert str(path) in str(caught.value)
    assert ", not a voice" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_archives(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(b"x"))
    assert kind_of(tmp_path / "a") == "archive"
    assert kind_of(tmp_path) == "folder"
    with pytest.raises(MissingFile, match="does not exist"):
        kind_of(tmp_path / "no such file")


def test_a_training_checkpoint_is_told_how_to_become_a_voice(tmp_path):
    path = tmp_path / "G 'x'.pth"
    write_training(path, tiny_checkpoint())
    assert kind_of(path) == "generator"
    with pytest.raises(BadCheckpoint, match="python -m infer.stages.ckpt extract .*G "):
        read_voice(path)


def test_a_voice_is_no_checkpoint_and_no_base(tmp_path):
    path = tmp_path / "voice.pth"
    write_voice(path, tiny_voice())
    with pytest.raises(BadCheckpoint, match="a finished voice, not a training checkpoint"):
        read_training(path)
    with pytest.raises(BadCheckpoint, match="a finished voice, not a pretrained base"):
        load_base(path, torch.nn.Linear(1, 1))
    with pytest.raises(BadCheckpoint, match="a finished voice, not a weight file"):
        read_tensors(path)


def test_safetensors(tmp_path):
    path = tmp_path / "content.bin"
    save_file({"attention_qkv.weight": torch.ones(2).half()}, path, metadata={"name": "starter"})
    assert kind_of(path) == "starter"
    assert read_metadata(path) == {"name": "starter"}
    tensor = read_tensors(path)["attention_qkv.weight"]
    assert tensor.dtype == torch.float32
    with pytest.raises(BadCheckpoint, match="starter content encoder, not a voice"):
        read_voice(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadCheckpoint, match="damaged"):
        read_tensors(path)


def test_tensors_keep_whole_numbers_and_must_be_finite(tmp_path):
    torch.save({"model": {"steps": torch.tensor(7), "w": torch.ones(2).bfloat16()}}, tmp_path / "a.pt")
    tensors = read_tensors(tmp_path / "a.pt")
    assert tensors["steps"].dtype == torch.int64
    assert tensors["w"].dtype == torch.float32
    torch.save({"w": torch.tensor([1.0, float("inf")])}, tmp_path / "a.pt")
    with pytest.raises(BadCheckpoint, match="not numbers"):
        read_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize("container", ["zip", "stream", "pickle"])
@pytest.mark.parametrize("case", malicious("x"))
def test_nothing_in_a_file_is_run(tmp_path, case, container):
    marker, path = tmp_path / "it ran", tmp_path / "voice.pth"
    content = malicious(marker)[case]
    if container == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    for read in READERS:
        with pytest.raises(BadCheckpoint) as caught:
            read(path)
        assert not marker.exists()
        # A bare pickle lacks torch's header and may be refused before its names are looked at.
        assert container == "pickle" or "asks for " in str(caught.value)
    if container != "pickle":
        assert kind_of(path) == "unsafe"


def test_the_refused_name_is_told(tmp_path):
    torch.save(malicious(tmp_path / "x")["eval"], tmp_path / "voice.pth")
    with pytest.raises(BadCheckpoint, match="asks for eval, which"):
        read_voice(tmp_path / "voice.pth")
    (tmp_path / "voice.pth").write_bytes(pickle.dumps(malicious(tmp_path / "x")["system"], protocol=4))
    with pytest.warns(UserWarning), pytest.raises(BadCheckpoint, match=r"asks for (posix|nt)\.system"):
        read_voice(tmp_path / "voice.pth")


@pytest.mark.parametrize("zip_container", [True, False])
def test_a_file_cut_anywhere_is_damaged(tmp_path, zip_container):
    path = tmp_path / "voice.pth"
    torch.save(voice_content(tiny_voice()), path, _use_new_zipfile_serialization=zip_container)
    whole = path.read_bytes()
    for part in (0.001, 0.01, 0.1, 0.4, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * part)])
        for read in READERS:
            with pytest.raises(BadCheckpoint):
                read(path)
        kind_of(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_overwritten_bytes_never_escape_as_a_traceback(tmp_path):
    path = tmp_path / "voice.pth"
    for zip_container in (True, False):
        torch.save(voice_content(tiny_voice()), path, _use_new_zipfile_serialization=zip_container)
        whole = path.read_bytes()
        generator = torch.Generator().manual_seed(1)
        for _ in range(40):
            damaged = bytearray(whole)
            start = int(torch.randint(0, 6000, (1,), generator=generator))
            damaged[start : start + 8] = bytes(torch.randint(0, 256, (8,), generator=generator).tolist())
            path.write_bytes(damaged)
            try:
                read_voice(path)
            except BadCheckpoint as error:
                assert "\n" not in str(error)  # noqa: PT017 - reading may also succeed


def test_a_full_disk_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "voice.pth"
    write_voice(path, tiny_voice(seed=1))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # writes beyond fail, as on a full disk
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the code is checked below
            write_voice(path, tiny_voice(seed=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno in (errno.ENOSPC, errno.EIO, errno.EFBIG)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["voice.pth"]


def test_a_discriminator_holds_no_voice(tmp_path):
    path = tmp_path / "D_1.pth"
    path.write_bytes(KINDS["discriminator"])
    with pytest.raises(BadCheckpoint, match="only the generator's G_ file holds a voice"):
        read_voice(path)
