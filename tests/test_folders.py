"""Output folders appear whole or not at all."""

import pytest

from rodin_jax.folders import OutputError, whole_folder


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
