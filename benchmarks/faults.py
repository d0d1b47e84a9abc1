"""What a batch does when the world around it fails: a table, and an error if a promise is broken.

    .venv/bin/python benchmarks/faults.py [--photos 12]

The promises: no half-written result, ever; a line a photo that says what happened; the next run ends with the same
bytes as one that nothing disturbed. Where a file system cannot be mounted the full disk is a limit on file sizes.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from batch_photos import make_photos
from PIL import Image

from sargan_core.batch.manifest import read_manifest

SIDE = 400
BROKEN_SHARE = 0.2
Hook = Callable[[], object]


class Broken(Exception):
    """A promise was not kept."""


def batch(
    photos: Path,
    out: Path,
    after_first: Hook | None = None,
    limit: int | None = None,
    options: Sequence[str] = (),
) -> tuple[int, str]:
    """Run the command; return its exit code and stderr. ``after_first`` is called at the first result."""

    def limited() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "sargan_cli", "batch", str(photos), "--expr", "happy", "--out", str(out)]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            [*command, "--device", "cpu", "--workers", "2", *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=limited,
        ) as process:
            assert process.stdout is not None
            for number, _ in enumerate(process.stdout):
                if number == 0 and after_first is not None:
                    after_first()
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
    if "Traceback" in said:
        raise Broken(f"a traceback: {said.strip().splitlines()[-1]}")
    return process.returncode, said


def results(out: Path) -> dict[str, bytes]:
    """Return the results by name; each must be a whole picture."""
    found = {}
    for path in sorted(out.glob("*.jpg")):
        data = path.read_bytes()
        try:
            Image.open(io.BytesIO(data)).load()
        except OSError as error:
            raise Broken(f"{path.name} is half-written ({error})") from error
        found[path.name] = data
    return found


def outcomes(out: Path) -> dict[str, int]:
    return dict(Counter(entry.outcome for entry in read_manifest(out).values()))


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Broken(otherwise)


def full_disk(photos: Path, folder: Path, wanted: dict[str, bytes]) -> str:
    """A disk with room for a third of the results; afterwards it gets more room."""
    room = sum(map(len, wanted.values())) // 3 + 20_000
    out = folder / "small"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(out)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        return full_files(photos, out, wanted)
    try:
        code, said = batch(photos, out)
        kept = results(out)
        expect(code == 1, f"exit code {code}")
        expect("full" in said, f"the reason is not said: {said.strip()[-200:]}")
        expect(len(kept) < len(wanted), "the disk was not full")
        expect(all(wanted[name] == data for name, data in kept.items()), "a result has other bytes")
        subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        code, _ = batch(photos, out)
        if code:  # photos that failed are done again only when asked for
            code, _ = batch(photos, out, options=("--retry", "failed"))
        expect(code == 0, f"with room again: exit code {code}")
        expect(results(out) == wanted, "with room again: other results")
    finally:
        subprocess.run(["umount", str(out)], check=False)
    return f"{len(kept)} of {len(wanted)} results before it was full, all whole; with room again the rest, same bytes"


def full_files(photos: Path, out: Path, wanted: dict[str, bytes]) -> str:
    """Files may not grow past the smallest results."""
    sizes = sorted(map(len, wanted.values()))
    code, _ = batch(photos, out, limit=sizes[len(sizes) // 2])
    kept = results(out)
    expect(code == 1, f"exit code {code}")
    expect(0 < len(kept) < len(wanted), f"{len(kept)} results")
    return f"(as a limit on file sizes) {len(kept)} of {len(wanted)} results, all whole"


def read_only_folder(photos: Path, folder: Path, wanted: dict[str, bytes]) -> str:
    out = folder / "read-only"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(out)]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True, check=False).returncode
    if not mounted:
        if os.geteuid() == 0:
            return "not tried: permissions do not bind this user, and nothing can be mounted"
        out.chmod(0o500)
    try:
        code, said = batch(photos, out)
        expect(code == 1, f"exit code {code}")
        expect(len(said.strip().splitlines()) == 1, f"not one line: {said.strip()}")
    finally:
        if mounted:
            subprocess.run(["umount", str(out)], check=False)
        else:
            out.chmod(0o700)
    return f"one line: {said.strip().split(': ', 2)[-1]}"


def disappearing_file(photos: Path, folder: Path, wanted: dict[str, bytes]) -> str:
    mine = folder / "going"
    shutil.copytree(photos, mine)
    last = sorted(mine.iterdir())[-1]
    code, _ = batch(mine, folder / "gone", last.unlink)
    found, counts = results(folder / "gone"), outcomes(folder / "gone")
    expect(code == 1, f"exit code {code}")
    expect(counts == {"done": len(wanted) - 1, "unreadable": 1}, f"outcomes {counts}")
    expect(found == {name: data for name, data in wanted.items() if name != last.name}, "other results")
    return f"that one is unreadable, the {len(found)} others are done"


def changing_file(photos: Path, folder: Path, wanted: dict[str, bytes]) -> str:
    mine = folder / "changing"
    shutil.copytree(photos, mine)
    first, *_, last = sorted(mine.iterdir())
    code, _ = batch(mine, folder / "changed", lambda: shutil.copyfile(first, last))
    expect(code == 0, f"exit code {code}")
    results(folder / "changed")
    code, _ = batch(mine, folder / "changed")
    found = results(folder / "changed")
    expect(code == 0, f"second run: exit code {code}")
    expect(found[last.name] == wanted[first.name], "the result is not that of the new content")
    return "whole results; after the next run the result is that of the new content"


def broken_files(photos: Path, folder: Path, wanted: dict[str, bytes]) -> str:
    mine = folder / "broken"
    shutil.copytree(photos, mine)
    files = sorted(mine.iterdir())
    bad = files[:: round(1 / BROKEN_SHARE)]
    for number, path in enumerate(bad):
        data = path.read_bytes()
        path.write_bytes((data[: len(data) // 2], b"", b"\x00" * 5000, data[2000:])[number % 4])
    code, said = batch(mine, folder / "edited")
    found, counts = results(folder / "edited"), outcomes(folder / "edited")
    expect(code == 1, f"exit code {code}")
    expect(counts == {"done": len(files) - len(bad), "unreadable": len(bad)}, f"outcomes {counts}")
    expect(all(path.name in said for path in bad), "a broken photo is not named")
    bad_names = {path.name for path in bad}
    expect(found == {name: data for name, data in wanted.items() if name not in bad_names}, "other results")
    return f"{len(bad)} of {len(files)} named as unreadable, the others as ever"


def killed(photos: Path, folder: Path, wanted: dict[str, bytes]) -> str:
    out = folder / "killed"
    command = [sys.executable, "-m", "sargan_cli", "batch", str(photos), "--expr", "happy", "--out", str(out)]
    with subprocess.Popen(
        [*command, "--device", "cpu"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for _ in range(len(wanted) // 3):
            process.stdout.readline()
        process.kill()
    kept = results(out)
    expect(0 < len(kept) < len(wanted), f"{len(kept)} results when it was killed")
    code, _ = batch(photos, out)
    expect(code == 0, f"exit code {code}")
    expect(results(out) == wanted, "other results")
    return f"{len(kept)} of {len(wanted)} whole results; the next run made the rest, same bytes"


FAULTS = {
    "full disk": full_disk,
    "read-only folder": read_only_folder,
    "a file disappears": disappearing_file,
    "a file changes": changing_file,
    "20 % broken files": broken_files,
    "killed (SIGKILL)": killed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--data", type=Path, help="a folder of portraits")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name, "photos")
        make_photos(photos, options.photos, SIDE, options.data)
        try:
            code, said = batch(photos, Path(name, "undisturbed"))
            wanted = results(Path(name, "undisturbed"))
            expect(code == 0 and len(wanted) == options.photos, f"exit code {code}; {said.strip()}")
        except Broken as broken:
            raise SystemExit(f"undisturbed: {broken}") from broken
        for title, fault in FAULTS.items():
            folder = Path(name, fault.__name__)
            folder.mkdir()
            try:
                print(f"{title:18} kept    {fault(photos, folder, wanted)}", flush=True)
            except Broken as broken:
                failed += 1
                print(f"{title:18} BROKEN  {broken}", flush=True)
    if failed:
        raise SystemExit(f"{failed} of {len(FAULTS)} promises are broken")


if __name__ == "__main__":
    main()
