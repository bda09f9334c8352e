"""Backbones: load, feed, train and run them."""
