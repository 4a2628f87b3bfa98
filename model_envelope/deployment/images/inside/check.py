"""While an image is built: see that its base carries what the environment needs; compile."""

from __future__ import annotations

import compileall
import importlib
import py_compile
import sys
from pathlib import Path

_NEEDED = ("ctypes", "ssl", "pyarrow", "httptools", "msgspec", "uvicorn", "uvloop")


def main() -> None:
    """Import what every service imports, and write the bytecode that a start would lack."""
    for module in _NEEDED:
        try:
            importlib.import_module(module)
        except ImportError as error:
            sys.exit(f"unfit base image: {module} cannot be imported: {error}")
    # The files are read-only afterwards: nothing is to be checked when they are imported.
    compileall.compile_dir(
        Path(__file__).parent / "environment" / "lib",
        quiet=2,
        workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


if __name__ == "__main__":
    main()
