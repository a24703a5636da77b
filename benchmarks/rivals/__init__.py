"""Other estimators, each asked in an environment of its own as its documents say.

A file here runs in its tool's environment: it reads one question a line, as JSON, and prints one answer a line. Nothing of
this project but the measured programs is imported there.
"""
