"""Output folders and files appear whole or not at all."""

import pytest

from rodin_jax.folders import OutputError, whole_files, whole_folder


def test_a_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "a" / "b" / "out"
    with whole_folder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x.txt").write_text("new")
        assert not target.exists()
    assert (target / "sub" / "x.txt").read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_not_even_parents(tmp_path, error):
    with pytest.raises(error), whole_folder(tmp_path / "a" / "b" / "out") as folder:
        (folder / "x.txt").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_keeps_its_other_files(tmp_path):
    (tmp_path / "out" / "sub").mkdir(parents=True)
    for name in ("mine.txt", "x.txt", "sub/y.txt"):
        (tmp_path / "out" / name).write_text("old")
    with whole_folder(tmp_path / "out") as folder:
        (folder / "x.txt").write_text("new")
        (folder / "sub").mkdir()
        (folder / "sub" / "z.txt").write_text("new")
    found = {p.name: p.read_text() for p in (tmp_path / "out").rglob("*.txt")}
    assert found == {"mine.txt": "old", "x.txt": "new", "y.txt": "old", "z.txt": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("place", ["file", "file/out", "file/a/b", "x" * 300])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught, whole_folder(tmp_path / place):
        raise AssertionError("must not run")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_files_appear_together_in_the_end(tmp_path):
    (tmp_path / "b.txt").write_text("old")
    with whole_files(tmp_path / "a.png", str(tmp_path / "b.txt")) as (first, second):
        assert (first.suffix, second.suffix) == (".png", ".txt")
        first.write_text("new")
        second.write_text("new")
        assert not (tmp_path / "a.png").exists() and (tmp_path / "b.txt").read_text() == "old"
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.png": "new", "b.txt": "new"}


def test_a_failure_leaves_files_as_they_were(tmp_path):
    (tmp_path / "b.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_files(tmp_path / "a", tmp_path / "b.txt") as files:
        for file in files:
            file.write_text("half")
        raise KeyboardInterrupt
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"b.txt": "old"}


@pytest.mark.parametrize("place", [".", "none/x", "file/x", "x" * 300])
def test_files_without_a_place_are_refused_before_any_work(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught, whole_files(tmp_path / "x", tmp_path / place):
        raise AssertionError("must not run")
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
