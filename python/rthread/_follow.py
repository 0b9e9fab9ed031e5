"""Has a function called when a module is imported for the first time.

So a program that does not import the module does not pay for it.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

__all__ = ["forget", "import_of"]


def import_of(name: str, adopt: "Callable[[], None]") -> None:
    """Call `adopt` once, when the module of this name has been loaded."""
    sys.meta_path.insert(0, _Finder(name, adopt))


def forget() -> None:
    """Call nothing any more."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]


class _Finder:
    """Finds one module once, by the other finders."""

    def __init__(self, name: str, adopt: "Callable[[], None]") -> None:
        self._name = name
        self._adopt = adopt

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec: Any = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        # Loaders of the old kind have no separate step that runs the module.
        if hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, self._adopt)
        return spec


class _Loader:
    """Loads a module with another loader, and gives its place in the module to that.

    The other loader must not be changed: that of a frozen module serves all frozen modules.
    """

    def __init__(self, loader: "Any", adopt: "Callable[[], None]") -> None:
        self._loader = loader
        self._adopt = adopt

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def exec_module(self, module: "ModuleType") -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._adopt()
