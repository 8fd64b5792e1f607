"""The planted faults, one file for each family: right classes with one bug each, and right ones that look wrong.

The gradient checker's tests, those of `minidl.testing` and ``docs/gradcheck-mutants.md`` are made of them.
"""

import importlib
import pkgutil

from planted.fault import FAULTS

for family in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"planted.{family}")

MUTANTS = [fault for fault in FAULTS if not any(verdict.ok for verdict in fault.verdicts)]
LOOKALIKES = [fault for fault in FAULTS if fault not in MUTANTS]
