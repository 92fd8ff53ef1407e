import hashlib
import os
from pathlib import Path

import pytest

from surgery import InputError
from surgery.files.whole_files import sha256_of_file, sha256_of_parts, verify_checksums, written_whole
from surgery.files.whole_folders import folder_written_whole


def test_a_body_that_raises_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with written_whole(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(KeyError), written_whole(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise KeyError
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_where_a_part_ends_matters() -> None:
    assert sha256_of_parts(["ab", "c"]) != sha256_of_parts(["a", "bc"])
    assert sha256_of_parts(["ab"]) == sha256_of_parts([b"ab"])
    assert len(sha256_of_parts([])) == 16


def test_changed_and_missing_files_are_found_and_others_are_no_concern(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    file, other = tmp_path / "used" / "a.bin", tmp_path / "b.bin"
    file.write_bytes(b"content")
    expected = hashlib.sha256(b"content").hexdigest()
    assert sha256_of_file(file) == expected
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{expected}  used/a.bin\n{expected}  b.bin\n")
    verify_checksums(sums, [tmp_path / "used"])
    with pytest.raises(InputError, match=r"b\.bin' is missing"):
        verify_checksums(sums, [other])
    file.write_bytes(b"changed")
    with pytest.raises(InputError, match=r"a\.bin' is not the file"):
        verify_checksums(sums, [file])


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_what_a_library_made_for_its_owner_alone_is_for_whom_the_umask_says(
    tmp_path: Path, umask: int, mode: int
) -> None:
    def private(path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    other = tmp_path / "other"
    private(other)
    before = os.umask(umask)
    try:
        with written_whole(tmp_path / "file") as temporary:
            private(temporary)
        with folder_written_whole(tmp_path / "folder", "marker", "folder") as folder:
            (folder / "inner").mkdir()
            private(folder / "inner" / "file")
            os.link(other, folder / "linked")
            os.symlink(other, folder / "pointing")
    finally:
        os.umask(before)
    for path in (tmp_path / "file", tmp_path / "folder" / "inner" / "file"):
        assert path.stat().st_mode & 0o777 == mode
    assert other.stat().st_mode & 0o777 == 0o600
