"""The notebook runs from top to bottom."""

import pathlib

import nbclient
import nbformat
import tiny_bundle

ROOT = pathlib.Path(__file__).parents[1]


def test_sampling_runs_and_shows_its_pictures(tmp_path, monkeypatch):
    notebook = nbformat.read(ROOT / "notebooks" / "sampling.ipynb", as_version=4)
    assert len(notebook.cells) <= 10
    assert "colab.research.google.com" in notebook.cells[0].source
    assert not any(cell.get("outputs") for cell in notebook.cells)
    monkeypatch.setenv("RODIN_BUNDLE", str(tiny_bundle.make(tmp_path)))
    monkeypatch.setenv("RODIN_QUICK", "1")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 6
    for name in ("preview.png", "turntable.mp4", "mesh.glb"):
        assert (tmp_path / "avatars" / "sentence" / name).is_file()
        assert (tmp_path / "avatars" / "photo" / name).is_file()
