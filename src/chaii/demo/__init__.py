"""The generated corpora of the embedded demo."""
