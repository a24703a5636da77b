"""The parts put together: the only place that knows all of them.

Every public name of the library is defined in a module of this folder; the package
``bigmodel_lab`` loads it from there when it is first used.
"""
