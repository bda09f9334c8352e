"""Corpora: read, check and split examples."""
