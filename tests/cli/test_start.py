"""Starting: help without heavy imports, version, usage errors in one line, completion."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Seconds of `sargan --help` as a multiple of those of an empty typer command; with numpy they are 1.6.
MOST_TIMES_BARE = 1.4
HEAVY = (
    "torch",
    "kornia",
    "numpy",
    "cv2",
    "scipy",
    "PIL",
    "imageio",
    "face_alignment",
    "safetensors",
    "numba",
    "lightning_fabric",
    "tqdm",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["edit", "--help"],
        ["train", "--help"],
        ["train", "pixel", "--help"],
        ["models", "--help"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    script = (
        "import sys; from sargan_cli.__main__ import main; code = main(sys.argv[1:]);"
        f"sys.stderr.write(','.join(name for name in {HEAVY!r} if name in sys.modules)); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False)
    assert result.returncode == 0
    assert result.stdout
    assert result.stderr == b""


def processor_seconds(*command):
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, timeout=120, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick():
    # Time on the CPU and a ratio inside one run: other work on the machine slows both alike.
    empty = "import typer; app = typer.Typer(); app.command()(lambda: None); app()"
    ours, bare = [], []
    for _ in range(4):
        ours.append(processor_seconds("-m", "sargan_cli", "--help"))
        bare.append(processor_seconds("-c", empty, "--help"))
    assert min(ours) < MOST_TIMES_BARE * min(bare)


def test_version(call):
    import sargan_core

    assert call("--version")[:2] == (0, f"sargan {sargan_core.__version__}\n".encode())


def test_without_a_command_help_is_shown(call):
    code, out, err = call()
    assert (code, err) == (0, "")
    assert b"edit" in out
    assert b"detect" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["edti"], "Did you mean 'edit'"),
        (["edit"], "INPUT"),
        (["edit", "a.jpg"], "--expr"),
        (["edit", "a.jpg", "--expr", "hapy"], "Did you mean 'happy'"),
        (["edit", "a.jpg", "--expr", "happy:3"], "happy:3"),
        (["edit", "a.jpg", "--expr", "happy:1.5", "--strength", "2"], "happy"),
        (["edit", "a.jpg", "--expr", "happy", "--expr", "sad"], "happy,sad"),
        (["edit", "a.jpg", "--expr", "happy", "--strength", "2.5"], "--strength"),
        (["edit", "a.jpg", "--expr", "happy", "--strength", "nan"], "--strength"),
        (["edit", "a.jpg", "--expr", "happy", "--device", "tpu"], "--device"),
        (["edit", "a.jpg", "--expr", "happy", "--grid"], "--grid"),
        (["edit", "a.jpg", "--expr", "happy", "--animate", "x.gif", "-o", "y.gif"], "--animate"),
        (["edit", "a.jpg", "b.jpg", "--expr", "happy", "--animate", "x.gif"], "--animate"),
        (["edit", "a.jpg", "--expr", "happy", "--animate", "x.avi"], ".gif"),
        (["edit", "a.jpg", "--expr", "happy", "--animate", "."], "--animate needs a file name"),
        (["edit", "a.jpg", "--expr", "happy", "-o", "-", "--json"], "--json"),
        (["edit", "a.jpg", "-", "--expr", "happy"], "stdin"),
        (["edit", "a.jpg", "--grid", "--in-place"], "--in-place"),
        (["detect"], "INPUT"),
        (["detect", "a.jpg", "--draw", "-", "--json"], "--json"),
        (["models", "fetch", "nothing"], "fan"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(call, photos, arguments, said):
    code, out, err = call(*arguments)
    assert code == 2
    assert out == b""
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1


def test_completion_offers_expressions(sargan):
    environment = {
        **os.environ,
        "_SARGAN_COMPLETE": "complete_bash",
        "COMP_WORDS": "sargan edit face.jpg --expr happy,su",
        "COMP_CWORD": "4",
    }
    result = sargan(env=environment)
    assert result.stdout.split() == [b"happy,surprised"]


def test_no_colour_codes_without_a_terminal(call, photos):
    for arguments in (["--help"], ["edit", "missing.jpg", "--expr", "happy"]):
        _, out, err = call(*arguments)
        assert b"\x1b" not in out
        assert "\x1b" not in err
