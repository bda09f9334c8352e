"""The data recipe: tokens, windows, their order and their augmentation."""
