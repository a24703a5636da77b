"""Where CUDA asks for other memory than a CPU does: one rule a file, each with its source.

A step is traced on stand-ins that look like CPU tensors. Every rule here corrects one thing
that a CPU does differently from a card. A new rule is one new file; it is found by itself.
"""

from __future__ import annotations

from bigmodel_lab._family import Family
from bigmodel_lab.trace.cuda_rules.base import Rule

RULES: Family[Rule] = Family("bigmodel_lab.trace.cuda_rules", "CUDA rule", "RULE")
"""All rules by file name."""
