"""Extractive question answering in Hindi and Tamil: one data recipe, one pass, several backbones."""
