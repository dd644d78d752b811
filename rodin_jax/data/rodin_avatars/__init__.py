"""The TFDS builder ``rodin_avatars``; importing `builder` loads tensorflow_datasets."""
