"""Backbones: load, train and run them."""
