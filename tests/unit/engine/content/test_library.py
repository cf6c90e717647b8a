from pathlib import Path

import pytest

from rackwright.engine.content.library import Library, Root, content_sha256, packaged_root
from rackwright.engine.errors import OperatorError

ROLE = "stages:\n  s: {verify: v.sh}\n"


def write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    write(ours, "roles/os/a/role.yaml", ROLE)
    write(ours, "roles/os/a/v.sh", "ours\n")
    write(ours, "roles/os/a/v@debian.sh", "debian\n")
    write(ours, "workflows/w.yaml", "stages: {}\n")
    write(theirs, "roles/os/a/v.sh", "theirs\n")
    write(theirs, "roles/os/b/role.yaml", ROLE)
    return ours, theirs


def test_the_later_layer_wins_file_by_file(layers: tuple[Path, Path]) -> None:
    library = Library(layers)
    assert library.role_names() == ("os/a", "os/b")
    assert library.workflow_names() == ("w",)
    script, role = library.file("roles/os/a/v.sh"), library.file("roles/os/a/role.yaml")
    assert (script.data, script.origin) == (b"theirs\n", "theirs")
    assert role.origin == "ours"
    assert library.role("os/a").stages["s"].scripts == {"verify": "v.sh"}


def test_our_content_is_the_lowest_layer(layers: tuple[Path, Path]) -> None:
    library = Library.over_packaged([layers[1]])
    assert library.file("workflows/swarm.yaml").origin == "rackwright"
    assert library.file("roles/os/a/v.sh").origin == "theirs"
    assert packaged_root().path.name == "rackwright"


def test_variants_are_found_by_os_family(layers: tuple[Path, Path]) -> None:
    assert Library(layers).variants("os/a", "v.sh") == {"": "v.sh", "debian": "v@debian.sh"}
    assert Library(layers).variants("os/a", "w.sh") == {}


def test_the_hash_covers_path_execute_bit_and_bytes(layers: tuple[Path, Path]) -> None:
    before = Library(layers).file("roles/os/a/v.sh").sha256
    (layers[1] / "roles/os/a/v.sh").chmod(0o600)
    assert Library(layers).file("roles/os/a/v.sh").sha256 == before
    (layers[1] / "roles/os/a/v.sh").chmod(0o755)
    assert Library(layers).file("roles/os/a/v.sh").sha256 != before
    assert content_sha256("a", 0o644, b"x") != content_sha256("b", 0o644, b"x")
    assert content_sha256("a", 0o644, b"x") != content_sha256("a", 0o644, b"y")


def test_a_frozen_copy_is_what_the_plan_named(layers: tuple[Path, Path], tmp_path: Path) -> None:
    library = Library(layers)
    content = {f.path: f.stamp for f in library.role_files("os/a")}
    copy = tmp_path / "copy"
    library.freeze(copy, content)
    again = Library([Root(copy, "run", "run")])
    assert {f.path: f.sha256 for f in again.role_files("os/a")} == {
        path: stamp.rpartition(":")[2] for path, stamp in content.items()
    }


def test_a_library_keeps_the_bytes_that_it_hashed(
    layers: tuple[Path, Path], tmp_path: Path
) -> None:
    library = Library(layers)
    content = {f.path: f.stamp for f in library.role_files("os/a")}
    write(layers[1], "roles/os/a/v.sh", "altered\n")
    library.freeze(tmp_path / "copy", content)
    assert (tmp_path / "copy/roles/os/a/v.sh").read_text() == "theirs\n"
    with pytest.raises(OperatorError, match="no longer what the plan was made from"):
        Library(layers).freeze(tmp_path / "other", content)


def test_a_link_out_of_the_directory_is_refused(layers: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (layers[1] / "roles/os/b/v.sh").symlink_to(tmp_path / "secret")
    with pytest.raises(OperatorError, match="link out of its content directory"):
        Library(layers).file("roles/os/b/v.sh")


@pytest.mark.parametrize(
    ("target", "said"), [("role.yaml", "leads back to itself"), ("nowhere", "cannot be read")]
)
def test_a_link_to_nowhere_is_refused(layers: tuple[Path, Path], target: str, said: str) -> None:
    path = layers[1] / "roles/os/loop/role.yaml"
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    with pytest.raises(OperatorError, match=said) as caught:
        Library(layers).role("os/loop")
    assert caught.value.hint


def test_a_file_is_no_content_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="is not a directory"):
        Library([tmp_path / "file"])


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="does not exist"):
        Library([tmp_path / "none"])


def test_directories_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for parent in ("x", "y"):
        write(tmp_path / parent / "content", f"roles/os/{parent}/role.yaml", ROLE)
    library = Library([tmp_path / "x" / "content", tmp_path / "y" / "content"])
    assert library.file("roles/os/x/role.yaml").origin == "content"
    assert library.file("roles/os/y/role.yaml").origin == "content-2"


def test_backup_and_hidden_files_are_no_content(layers: tuple[Path, Path]) -> None:
    write(layers[1], "roles/os/b/v.sh~", "x")
    write(layers[1], "roles/os/b/.v.sh.swp", "x")
    write(layers[1], "roles/os/.git/role.yaml", "x")
    assert [f.path for f in Library(layers).role_files("os/b")] == ["roles/os/b/role.yaml"]
