"""Imports every module of this package, so that the registry is whole: a new head's file needs no mention anywhere else."""

import pkgutil
from importlib import import_module

from headrace_trainer import heads

for _module in pkgutil.iter_modules(heads.__path__):
    if _module.name != "all":
        import_module(f"{heads.__name__}.{_module.name}")
