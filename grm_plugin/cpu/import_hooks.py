"""Import hooks: run a patch when a named module is imported, whenever the program does that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Patch = Callable[[ModuleType], None]
"""Changes a module that has just been imported."""

ImportContext = Callable[[], AbstractContextManager[None]]
"""Makes the context manager in which a module is imported."""


class PatchingFinder(MetaPathFinder):
    """Lets the other finders of `sys.meta_path` find a module, and wraps its loader.

    Args:
        patches: by module name, the patch to run after its import.
        contexts: by module name, the context in which it is imported.
    """

    def __init__(self, patches: Mapping[str, Patch], contexts: Mapping[str, ImportContext] | None = None) -> None:
        self.patches = dict(patches)
        self.contexts = dict(contexts or {})

    def install(self) -> None:
        """Begin to hook imports. Modules that are imported already are patched at once."""
        sys.meta_path.insert(0, self)
        for name, patch in self.patches.items():
            if name in sys.modules:
                patch(sys.modules[name])

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called by Python for every import."""
        if fullname not in self.patches and fullname not in self.contexts:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _PatchingLoader(spec.loader, self.contexts.get(fullname), self.patches.get(fullname))
                return spec
        return None


class _PatchingLoader(Loader):
    """Wraps a module's own loader: imports the module in a context, and patches it afterwards."""

    def __init__(self, loader: Loader, context: ImportContext | None, patch: Patch | None) -> None:
        self._loader = loader
        self._context = context
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with self._context() if self._context is not None else nullcontext():
            self._loader.exec_module(module)
        if self._patch is not None:
            self._patch(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
