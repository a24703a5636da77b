"""Batch finders, one a file: each has ``TITLE`` and ``find(card) -> int``."""
