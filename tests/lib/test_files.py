import errno

import pytest

from infer.lib.errors import BadInput
from infer.lib.files import atomic_path, inside, natural_key, safe_name, sha256_file, write_text


def test_a_failed_write_keeps_the_old_file_and_leaves_no_trace(tmp_path):
    path = tmp_path / "a b.json"
    write_text(path, "old")
    with pytest.raises(OSError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a b.json"]


@pytest.mark.parametrize(
    "raised", [OSError(errno.ENOSPC, "No space left"), OSError("114432 requested and 96224 written")]
)
def test_a_full_disk_is_told_of_the_file_that_was_meant(tmp_path, raised):
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "a.npy"):
        raise raised
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.npy"))


def test_trouble_with_the_file_that_is_read_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="source"), atomic_path(tmp_path / "a.npy"):
        (tmp_path / "source").read_bytes()


def test_written_files_have_the_suffix_while_temporary(tmp_path):
    with atomic_path(tmp_path / "x.flac") as temporary:
        assert temporary.suffix == ".flac" and temporary.parent == tmp_path


@pytest.mark.parametrize("name", ["mi-test", "노래 2", "-dash", "🎤", "a.b"])
def test_ordinary_names_pass(name):
    assert safe_name(f" {name} ") == name


@pytest.mark.parametrize(
    "name", ["", " ", "..", "a/b", "a\\b", "C:x", "nul", "COM1.txt", "x.", "a\nb", "x" * 300, "가" * 100]
)
def test_names_that_no_folder_can_have_are_refused(name):
    with pytest.raises(BadInput):
        safe_name(name)


def test_inside_refuses_everything_outside(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    assert inside(root, "a/b") == root / "a" / "b"
    for name in ("..", "../x", "/etc/passwd", "link/x", ".", "a/../../x"):
        with pytest.raises(BadInput):
            inside(root, name)


def test_natural_order():
    assert sorted(["a10", "a2", "b1", "a1"], key=natural_key) == ["a1", "a2", "a10", "b1"]


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x").startswith("ba7816bf8f01cfea")
