"""From logits to answers: context logits, span search, decoding, cleaning."""
