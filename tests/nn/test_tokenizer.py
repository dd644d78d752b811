import json
import subprocess
import sys

import numpy as np
import pytest

from rodin_jax.nn import tokenizer

CAPTIONS = ["A man with red hair, smiling.", "a man in a t-shirt", "a woman with a red hat"]


def test_words_are_numbered_by_frequency():
    words = tokenizer.train(CAPTIONS)
    again = tokenizer.train(CAPTIONS[::-1])
    rows = words.encode(["A RED man", "red, a"], 8)
    assert rows.dtype == np.int32 and rows.shape == (2, 8)
    assert rows[0].tolist() == [2, 4, 6, 5, 3, 0, 0, 0]  # a 4 times; man, red, with 2 times
    np.testing.assert_array_equal(rows, again.encode(["A RED man", "red, a"], 8))
    frequent = tokenizer.train(CAPTIONS, minimum=2)
    assert len(frequent) == 8  # four special tokens, a, man, red, with


def test_unknown_long_and_odd_prompts():
    words = tokenizer.train(CAPTIONS)
    assert words.unknown_words("A purple MAN, purple and málva!") == ["purple", "malva"]
    assert words.unknown_words("the man is of 2 (or ½) zebras, 20.5 %") == ["zebras"]
    assert words.unknown_words("a smiling woman") == []
    row = words.encode(["purple man"], 6)[0]
    assert row.tolist() == [2, 1, 5, 3, 0, 0]
    long = words.encode(["red " * 10_000], 6)[0]
    assert long.tolist() == [2, 6, 6, 6, 6, 3]
    assert words.encode([""], 4)[0].tolist() == [2, 3, 0, 0]
    # Special tokens cannot be written in a prompt: only the brackets' word is looked up.
    assert not {0, 2, 3} & set(words.encode(["[PAD] [BOS] [EOS]"], 12)[0, 1:10].tolist())
    with pytest.raises(ValueError, match="3 tokens"):
        words.encode(["a"], 2)


def test_file_round_trip_and_its_errors(tmp_path):
    words = tokenizer.train(CAPTIONS)
    path = words.save(tmp_path / "tokenizer.json")
    loaded = tokenizer.load(path)
    np.testing.assert_array_equal(loaded.encode(CAPTIONS, 9), words.encode(CAPTIONS, 9))
    assert loaded.save(tmp_path / "again.json").read_bytes() == path.read_bytes()

    with pytest.raises(tokenizer.TokenizerError, match="no such file"):
        tokenizer.load(tmp_path / "absent.json")
    content = json.loads(path.read_text())
    for damage in ({}, {"model": {"vocab": ["a"]}}, {"model": {"vocab": {"[PAD]": 0, "a": 1}}}):
        broken = tmp_path / "broken.json"
        broken.write_text(json.dumps(damage))
        with pytest.raises(tokenizer.TokenizerError, match=r"broken\.json"):
            tokenizer.load(broken)
    content["model"]["vocab"]["a"] = 99
    broken.write_text(json.dumps(content))
    with pytest.raises(tokenizer.TokenizerError, match="number its words"):
        tokenizer.load(broken)
    broken.write_bytes(b"\xff\xfe{")
    with pytest.raises(tokenizer.TokenizerError):
        tokenizer.load(broken)


def test_as_transformers_tokenizer():
    words = tokenizer.train(CAPTIONS)
    out = words.to_transformers()(
        "a red man", padding="max_length", max_length=8, truncation=True, return_tensors="np"
    )
    np.testing.assert_array_equal(out["input_ids"], words.encode(["a red man"], 8))
    np.testing.assert_array_equal(out["attention_mask"][0], [1, 1, 1, 1, 1, 0, 0, 0])


def test_import_is_light():
    code = "import sys, rodin_jax.nn.tokenizer; print({'torch', 'transformers'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
