"""Extractive question answering in Hindi and Tamil, one data recipe, several backbones."""

from chaii.reader import Reader

__all__ = ["Reader"]
