"""Extractive question answering in Hindi and Tamil, one data recipe, several backbones."""
