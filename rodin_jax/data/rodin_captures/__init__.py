"""The TFDS builder ``rodin_captures``; importing `builder` loads tensorflow_datasets."""
