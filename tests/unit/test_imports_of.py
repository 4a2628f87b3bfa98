from __future__ import annotations

from pathlib import Path

import pytest

from model_envelope.environment.imports import imports_of


def imported(tmp_path: Path, source: str) -> frozenset[str]:
    file = tmp_path / "module.py"
    file.write_text(source)
    return imports_of(file)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import a, b.c as d", {"a", "b.c"}),
        ("from a import b, c", {"a.b", "a.c"}),
        ("from a.b import *", {"a.b"}),
        ("from . import a\nfrom .b import c", set()),
        ("def f():\n    import a\n    class C:\n        from b import c", {"a", "b.c"}),
        ("with x:\n    for i in y:\n        import a", {"a"}),
        ("if debug:\n    import a\nelse:\n    import b", {"a", "b"}),
        ("try:\n    import a\nfinally:\n    pass", {"a"}),
        ("try:\n    import a\nexcept ValueError:\n    import b", {"a", "b"}),
        ("match x:\n    case 1:\n        import a", {"a"}),
    ],
)
def test_finds_imports(tmp_path: Path, source: str, names: set[str]) -> None:
    assert imported(tmp_path, source) == names


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import {}\nexcept ImportError:\n    pass",
        "try:\n    import {}\nexcept (ValueError, ModuleNotFoundError) as e:\n    pass",
        "try:\n    import {}\nexcept builtins.ImportError:\n    pass",
        "try:\n    import {}\nexcept Exception:\n    pass",
        "try:\n    import {}\nexcept:\n    pass",
        "try:\n    import {}\nexcept* ImportError:\n    pass",
        "try:\n    import os\nexcept ImportError:\n    import {}",
        "try:\n    def f():\n        import {}\nexcept ImportError:\n    pass",
        "if sys.version_info < (3, 9):\n    import {}",
        "if sys.platform == 'win32':\n    import {}",
    ],
)
def test_optional_imports_count_only_when_they_can_succeed(tmp_path: Path, source: str) -> None:
    assert "absent_module" not in imported(tmp_path, source.format("absent_module"))
    assert "absent_module.x" not in imported(tmp_path, source.format("absent_module.x"))
    assert "cloudpickle" in imported(tmp_path, source.format("cloudpickle"))
    assert "json.decoder" in imported(tmp_path, source.format("json.decoder"))


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    source = """
from typing import TYPE_CHECKING
import typing
if TYPE_CHECKING:
    import a
elif typing.TYPE_CHECKING:
    import b
else:
    import c
"""
    assert imported(tmp_path, source) == {"typing.TYPE_CHECKING", "typing", "c"}


def test_folder_is_read_without_tests_and_templates(tmp_path: Path) -> None:
    files = {
        "__init__.py": "import a",
        "inner/deep.py": "import b",
        "latest.py": "import c",
        "tests/test_x.py": "import pytest",
        "inner/test/data.py": "import pytest",
        "conftest.py": "import pytest",
        "inner/test_y.py": "import pytest",
        "inner/y_test.py": "import pytest",
        "template.py": "import {{ name }}",
        "broken.py": "print 'two'",
    }
    for name, source in files.items():
        file = tmp_path / "pkg" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    assert imports_of(tmp_path / "pkg") == {"a", "b", "c"}


def test_declared_encoding_is_respected(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_bytes("# coding: latin-1\nimport a  # é".encode("latin-1"))
    assert imports_of(file) == {"a"}


def test_questionable_source_is_read_quietly(tmp_path: Path) -> None:
    assert imported(tmp_path, "import a\nif x is 1:\n    y = '\\d'") == {"a"}
