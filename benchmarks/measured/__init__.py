"""Peaks that others measured on real cards, and the programs that were measured: for the tests and the scoreboard."""
