"""What goes wrong around the program: full disks, lost permissions, signals, other processes, missing homes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sargan_core.errors import OutputExistsError, PhotoError
from sargan_core.outcome import message, out_of_memory
from sargan_core.photo.files import write_atomically
from sargan_core.photo.photo import Photo, read_photo, write_photo

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "examples" / "portrait.jpg"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "sargan_cli", *map(str, arguments)]


@pytest.fixture
def photo() -> Photo:
    return Photo(np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8))


def test_a_full_disk_leaves_nothing(tmp_path: Path):
    target = tmp_path / "a.png"
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "from pathlib import Path\n"
        "from sargan_core.errors import PhotoError\n"
        "from sargan_core.photo.files import write_atomically\n"
        "try:\n    write_atomically(Path(sys.argv[1]), bytes(100_000))\n"
        "except PhotoError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, target], capture_output=True, text=True, check=True)
    assert f"{target}: cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "can only be read"),
        (errno.EACCES, "no permission"),
        (errno.EIO, "cannot be written"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "link", "open", "replace"])
def test_every_step_of_writing_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Photo, call: str, number: int, said: str
):
    target = tmp_path / "a.png"
    overwrite = call == "replace"
    if overwrite:
        target.write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail) if overwrite else patch.setattr(os, call, fail)
        if call == "link" and number in (errno.EPERM, errno.EACCES):
            return  # told apart from a file system without links by its number
        with pytest.raises(PhotoError, match=said):
            write_photo(photo, target, overwrite=overwrite)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_one_of_two_writers_wins(tmp_path: Path):
    target = tmp_path / "a.bin"
    for content in (b"first", b"second"):
        pid = os.fork()
        if pid == 0:
            try:
                write_atomically(target, content * 1000)
            except OutputExistsError:
                os._exit(7)
            except BaseException:
                os._exit(9)
            os._exit(0)
    codes = sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2))
    assert codes == [0, 7]
    assert target.read_bytes() in (b"first" * 1000, b"second" * 1000)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("OpenCV(4.14.0) error: (-4:Insufficient memory) Failed to allocate 12 bytes"),
    ],
    ids=["python", "torch", "cuda", "opencv"],
)
def test_running_out_of_memory_is_said_as_such(error: Exception):
    assert out_of_memory(error)
    assert "not enough memory" in message(error, "a.jpg")


def test_a_signal_at_any_moment_leaves_whole_files_or_none(tmp_path: Path):
    """Signals from the start of the interpreter to the writing of the second result."""
    for number in range(2):
        Image.open(PORTRAIT).resize((200, 200)).save(tmp_path / f"{number}.png")
    started = time.monotonic()
    names = [tmp_path / "0.png", tmp_path / "1.png"]
    whole = tmp_path / "whole"
    whole.mkdir()
    subprocess.run(command("edit", *names, "--expr", "happy", "-o", whole), check=True, capture_output=True)
    length = time.monotonic() - started
    random = np.random.default_rng(4)
    for number, kind in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGTERM)):
        output = tmp_path / f"out-{number}"
        output.mkdir()
        call = command("edit", *names, "--expr", "happy", "-o", output)
        process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(length * random.uniform(0.3, 1.0))
        process.send_signal(kind)
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 130, -kind)
        left = sorted(path.name for path in output.iterdir())
        finished = [name for name in left if not name.startswith(".sargan-")]
        if kind != signal.SIGKILL:
            assert left == finished
        for name in finished:
            assert read_photo(output / name).pixels.shape == (200, 200, 3)
        if process.returncode == 130:
            assert errors.decode().strip().splitlines()[-1] == "error: interrupted"


def test_without_a_home_and_with_unwritable_folders(tmp_path: Path):
    """Nothing is kept outside the output's folder: no home, no cache, no place for temporary files."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HOME", "XDG_", "TORCH", "SARGAN"))
    }
    nowhere = tmp_path / "nowhere"
    clean |= {
        name: str(nowhere) for name in ("HOME", "TORCH_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR")
    }
    clean["PYTHONDONTWRITEBYTECODE"] = "1"
    call = command("edit", PORTRAIT, "--expr", "sad", "-o", tmp_path / "sad.jpg")
    done = subprocess.run(call, env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'sad.jpg'}\n"), done.stderr
    assert not nowhere.exists()
    home = {**clean, "SARGAN_HOME": str(nowhere)}
    listed = subprocess.run(command("models", "path"), env=home, capture_output=True, text=True, check=False)
    assert listed.returncode == 0
    assert Path(listed.stdout.strip()).name == "weights"


def test_no_provenance_leaves_nothing(tmp_path: Path):
    output = tmp_path / "plain.png"
    call = command(
        "edit", PORTRAIT, "--expr", "happy", "-o", output, "--no-provenance", "--metadata", "strip"
    )
    subprocess.run(call, check=True, capture_output=True)
    content = output.read_bytes().lower()
    for word in (b"sargan", b"digitalsourcetype", b"adobe", b"happy"):
        assert word not in content


def test_the_wheel_works_by_itself(tmp_path: Path):
    """Built, unpacked outside the repository and used from there: code, weights and templates are in it."""
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    builder = hatchling.WheelBuilder(str(ROOT))
    wheel = Path(next(iter(builder.build(directory=str(tmp_path), versions=["standard"]))))
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "sargan_core/_weights/index.json",
        "sargan_core/_weights/pixel.safetensors",
        "sargan_core/py.typed",
    ):
        assert wanted in names
    templates = [
        path
        for path in (ROOT / "sargan_core").rglob("templates/*")
        if path.is_file() and path.suffix != ".py"
    ]
    assert {path.relative_to(ROOT).as_posix() for path in templates} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "."))]
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys\n"
        "site, root = sys.argv.pop(1), sys.argv.pop(1)\n"
        "sys.path[:] = [site, *(path for path in sys.path if path and path != root)]\n"
        "import sargan_core, sargan_cli.__main__ as entry\n"
        "print(sargan_core.__file__, flush=True)\n"
        "entry.run()\n"
    )
    output = tmp_path / "happy.jpg"
    call = [
        sys.executable,
        "-c",
        code,
        str(site),
        str(ROOT),
        "edit",
        str(PORTRAIT),
        "--expr",
        "happy",
        "-o",
        str(output),
    ]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(str(site))
    assert read_photo(output).pixels.shape == read_photo(PORTRAIT).pixels.shape


def test_memory_limit_ends_the_photo_and_not_the_call(tmp_path: Path):
    Image.new("RGB", (9000, 9000)).save(tmp_path / "large.png", compress_level=1)
    Image.new("RGB", (90, 90)).save(tmp_path / "small.png")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))

    call = command(
        "detect", tmp_path / "large.png", tmp_path / "small.png", "--landmarks", "detector", "--json"
    )
    done = subprocess.run(call, capture_output=True, text=True, check=False, preexec_fn=limit)
    lines = done.stdout.splitlines()
    if len(lines) < 2 or "shared object" in done.stdout:
        pytest.skip("the libraries do not load under this limit")
    assert "memory" in lines[0]
    assert "no face found" in lines[1]
    assert "Traceback" not in done.stderr
