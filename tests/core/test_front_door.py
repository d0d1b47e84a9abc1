"""``from sargan_core import …``: everything is there, and nothing is loaded before it is asked for."""

import subprocess
import sys

import pytest

import sargan_core


@pytest.mark.parametrize("name", sargan_core.__all__)
def test_every_name_is_there(name: str):
    namespace: dict[str, object] = {}
    exec(f"from sargan_core import {name}", namespace)
    assert namespace[name] is getattr(sargan_core, name)
    assert name in dir(sargan_core)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="Editr"):
        _ = sargan_core.Editr


def test_importing_the_package_loads_nothing_heavy():
    code = "import sargan_core, sys; print(sorted({'torch', 'numpy', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
