"""Audits: whether an accuracy is decoding, or the clock, the eyes, the order, the image."""
