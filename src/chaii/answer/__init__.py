"""Answers: decode, clean, blend, vote and write them."""
