"""Measurements of what the library claims, with dated records. Each file here is a command."""
