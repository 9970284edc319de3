"""The one place where a user's own code runs: files and modules named in `custom_imports`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sdpose.config.custom import CustomType
from sdpose.config.settings import Settings
from sdpose.errors import SdposeError, nearest


class UserCode:
    """The imported modules, in which types that are not ours are looked up by name."""

    def __init__(self, modules: tuple[ModuleType, ...] = ()) -> None:
        self.modules = modules

    def make(self, custom: CustomType) -> Any:
        """An instance of the user's type, made with the arguments in the config."""
        for module in self.modules:
            if hasattr(module, custom.type):
                try:
                    return getattr(module, custom.type)(**custom.kwargs)
                except Exception as error:
                    raise SdposeError(
                        f"{custom.where}: {custom.type}({', '.join(custom.kwargs)}) from {module.__name__} raised "
                        f"{type(error).__name__}: {error}"
                    ) from error
        names = [name for module in self.modules for name in vars(module) if not name.startswith("_")]
        imported = ", ".join(module.__name__ for module in self.modules) or "nothing"
        raise SdposeError(
            f"{custom.where}: no module of custom_imports defines '{custom.type}' (imported: {imported})."
            f"{nearest(custom.type, names)}"
        )


def import_user_code(settings: Settings, log: Callable[[str], None]) -> UserCode:
    """Import what `custom_imports` names: files relative to the config, or modules on the Python path.

    Each is said in the log, since it runs code. Raises SdposeError for one that cannot be imported, unless the config
    says `allow_failed_imports`.
    """
    wanted = settings.custom_imports
    modules = []
    for name in wanted.imports if wanted else ():
        try:
            modules.append(_import(name, Path(settings.path).parent))
            log(f"custom_imports: running the user's code in {getattr(modules[-1], '__file__', name)}")
        except Exception as error:  # a user's file may raise anything
            text = f"custom_imports: {name} could not be imported ({type(error).__name__}: {error})"
            if wanted is None or not wanted.allow_failed_imports:
                raise SdposeError(
                    f"{text}; name a .py file beside {settings.path} or a module on the Python path"
                ) from error
            log(f"{text}; going on, allow_failed_imports is set")
    return UserCode(tuple(modules))


def _import(name: str, folder: Path) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = (folder / name).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Worker processes find the module under its name when they unpickle one of its objects.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
