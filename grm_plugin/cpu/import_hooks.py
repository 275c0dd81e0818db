"""Import hooks: run a patch when a named module is imported, in whatever order the program imports its modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Patch = Callable[[ModuleType], None]
"""Changes a module that has just been imported."""

Surroundings = Callable[[], AbstractContextManager[None]]
"""What must hold while a module is being imported."""


class PatchingFinder(MetaPathFinder):
    """Finds nothing itself: lets the finders behind it find a module, and hooks its loader.

    Args:
        after: by module name, the patch to run after its import.
        during: by module name, the context to import it in.
    """

    def __init__(self, after: Mapping[str, Patch], during: Mapping[str, Surroundings] | None = None) -> None:
        self.after = dict(after)
        self.during = dict(during or {})

    def install(self) -> None:
        """Watch for the modules; those already imported are patched at once."""
        sys.meta_path.insert(0, self)
        for name, patch in self.after.items():
            if name in sys.modules:
                patch(sys.modules[name])

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.after and fullname not in self.during:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _HookedLoader(spec.loader, self.during.get(fullname), self.after.get(fullname))
                return spec
        return None


class _HookedLoader(Loader):
    """A module's own loader, with something to do around and after it. Everything else is the loader's own."""

    def __init__(self, loader: Loader, during: Surroundings | None, after: Patch | None) -> None:
        self._loader = loader
        self._during = during
        self._after = after

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._during is None:
            self._loader.exec_module(module)
        else:
            with self._during():
                self._loader.exec_module(module)
        if self._after is not None:
            self._after(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
