"""The comparison of the papers on one data set: every model against every other, and which published claims hold.

    .venv/bin/python benchmarks/compare.py                                   shipped models on packaged faces
    .venv/bin/python benchmarks/compare.py --data DIR [--data DIR …] [--limit N] [--out runs/comparison] [--write]
    .venv/bin/python benchmarks/compare.py --data DIR --train 1200           first train what is missing, N steps each

The generators of one budget lie in --runs, a folder with a generator.safetensors each: stargan, usgan and sargan, and
where they are there a second seed (usgan-seed1, sargan-seed1), parts of the training people in percent (sargan-25,
sargan-50) and the published recipe (sargan-paper). Whatever is missing is named and left out. --judge and --ood are
those of `sargan evaluate`. --write puts the result into docs/lab/tables.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

from sargan_core.evaluation.cost import count_coefficients
from sargan_core.evaluation.examples import make_gallery
from sargan_core.evaluation.protocol import EvaluationSettings, ModelChoice, labelled_cases
from sargan_core.evaluation.report import markdown_table, write_report
from sargan_core.evaluation.results import Results, interval
from sargan_core.evaluation.run import evaluate
from sargan_core.evaluation.tables import (
    cost_table,
    expression_table,
    metric_of,
    setting_line,
    source_tables,
    summary_table,
)
from sargan_core.models.sargan.generator import Generator, preset
from sargan_core.photo.photo import read_photo
from sargan_core.weights import read_index

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "lab" / "tables.md"
# One budget: same data, same crops, same steps; see docs/training.md. Folder of the run, and its name in the tables.
BUDGET = {"stargan": "StarGAN", "usgan": "US-GAN", "sargan": "SARGAN"}
FURTHER = {
    "usgan-seed1": "US-GAN-seed1",
    "sargan-seed1": "SARGAN-seed1",
    "sargan-25": "SARGAN-25",
    "sargan-50": "SARGAN-50",
    "sargan-paper": "SARGAN-paper",
}
RUNS = BUDGET | FURTHER
SHIPPED = ("sargan", "sargan-128", "pixel", "pixel-plain", "aipgan")
DRAWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--limit", type=int, default=12, help="people, 0 = all")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "compare")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--train", type=int, metavar="STEPS", help="train the missing generators first")
    parser.add_argument("--size", type=int, default=64, help="crops to train on")
    parser.add_argument("--shipped", default=",".join(SHIPPED), help="shipped models that take part")
    parser.add_argument("--ood", type=Path, action="append", default=[], help="photos of another kind")
    parser.add_argument("--judge", type=Path, action="append", default=[], help="a further judge")
    parser.add_argument("--curves", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--write", action="store_true", help="write docs/lab/tables.md")
    arguments = parser.parse_args()
    if arguments.write and not arguments.data:
        parser.error("--write needs --data: without it there is nothing to publish")
    if arguments.train:
        train_missing(arguments.runs, arguments.data, arguments.train, arguments.size)
    choices, missing = find_models(arguments.runs, arguments.shipped.split(","))
    for name in missing:
        print(f"{name}: no weights, left out")
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary) / "out"
        out.mkdir(parents=True, exist_ok=True)
        others = out / "other-faces"
        drawings = make_others(others, arguments.data)
        settings = EvaluationSettings(
            tuple(choices),
            data=tuple(arguments.data),
            ood=(others, *arguments.ood),
            judges=tuple(arguments.judge),
            limit=arguments.limit or None,
            curve_people=arguments.curves if arguments.data else 0,
            workers=arguments.workers,
        )
        print(f"{', '.join(choice.name for choice in choices)}; {drawings}")
        done = evaluate(
            settings, out, progress=lambda count, total: print(f"\r{count}/{total}", end="", flush=True)
        )
        print()
        results = done.results
        text = page(results, missing, drawings, budget(arguments.runs))
        print(text)
        if arguments.out:
            names = [choice.name for choice in choices]
            print(write_report(results, make_gallery(done.session, done.cases, done.measures, names), out))
        if arguments.write:
            PAGE.write_text(text, encoding="utf-8")
            print(f"written: {PAGE}")


def find_models(runs: Path, wanted: list[str]) -> tuple[list[ModelChoice], list[str]]:
    """Return the models that are there, and the names of the others."""
    shipped = {record.name for record in read_index()}
    choices, missing = [], []
    for name, label in RUNS.items():
        file = runs / name / "generator.safetensors"
        if file.is_file():
            choices.append(ModelChoice(label, file))
        elif name in BUDGET:
            missing.append(label)
    for name in wanted:
        if name in shipped:
            choices.append(ModelChoice(name))
        else:
            missing.append(name)
    return choices, missing


def trained_steps(run: Path) -> int | None:
    """Return the last step that a training run has logged, None where it has no log."""
    file = run / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    return json.loads(lines[-1])["step"] if lines else None


def budget(runs: Path) -> str:
    """Return in words how long the generators of one budget were trained."""
    steps = {name: trained_steps(runs / name) for name in RUNS}
    known = [f"{RUNS[name]} {count} steps" for name, count in steps.items() if count is not None]
    return ", ".join(known) or "steps not kept"


def train_missing(runs: Path, data: list[Path], steps: int, size: int) -> None:
    """Train each generator that is not there with the same options."""
    for name in BUDGET:
        if (runs / name / "generator.safetensors").is_file():
            continue
        command = [sys.executable, "-m", "sargan_cli", "train", "--arch", name]
        command += ["--size", str(size), "--steps", str(steps)]
        for folder in data:
            command += ["--data", str(folder)]
        subprocess.run([*command, "--out", str(runs / name)], check=True)


def make_others(folder: Path, data: list[Path]) -> str:
    """Fill a folder with faces of another kind than the training data; return in words what they are.

    One photograph of the outside world (scikit-image's astronaut, as it is and as a drawing), and test people's photos
    turned into drawings by OpenCV, which stand for paintings: no collection of paintings is packaged anywhere.
    """
    folder.mkdir(exist_ok=True)
    people = []
    if data:
        cases, _ = labelled_cases(data, limit=DRAWN)
        people = [(case.path.stem, read_photo(case.path).pixels) for case in cases[:DRAWN]]
    astronaut = np.ascontiguousarray(skimage.data.astronaut()[:360, 40:400])
    Image.fromarray(astronaut).save(folder / "astronaut.png")
    for name, pixels in [("astronaut", astronaut), *people]:
        bgr = np.ascontiguousarray(pixels[:, :, ::-1])
        painted = cv2.stylization(bgr, sigma_s=40, sigma_r=0.35)
        _, pencil = cv2.pencilSketch(bgr, sigma_s=50, sigma_r=0.07, shade_factor=0.05)
        for kind, picture in (("painted", painted), ("pencil", pencil)):
            cv2.imwrite(str(folder / f"{name}-{kind}.png"), picture)
    words = "out of the data set: one photograph (scikit-image's astronaut)"
    return f"{words} and drawings made by OpenCV's filters of it and of {len(people)} test people"


def page(results: Results, missing: list[str], drawings: str, steps: str) -> str:
    """Return the result as a Markdown page."""
    lines = [
        "# Tables of the comparison",
        "",
        "Made by `benchmarks/compare.py --write`. What the figures mean: [evaluation.md](../evaluation.md). What "
        "follows from them: [results.md](../results.md).",
        "",
        setting_line(results),
        "",
        f"Test people were never trained on (every fifth person of each set); {drawings}. `none` does nothing. The "
        "judge was trained on the training people of the same data, which flatters whoever was trained on them too. "
        "Models with a capital letter are the published networks, trained on one budget "
        f"({steps}): they compare with each other, not with the pictures of the papers.",
        "",
    ]
    if missing:
        lines += [f"Not there when this was made: {', '.join(missing)}.", ""]
    for part in ("in", "ood"):
        table = summary_table(results, part)
        if table is not None:
            lines += markdown_table(table)
    for table in source_tables(results, "in"):
        if table is not None:
            lines += markdown_table(table, 3)
    if (costs := cost_table(results)) is not None:
        lines += markdown_table(costs)
    for model in results.models:
        if (table := expression_table(results, "in", model)) is not None:
            lines += markdown_table(table, 3)
    return "\n".join([*lines, *claims(results)])


def claims(results: Results) -> list[str]:
    """Return which published claims the figures bear out, each with the figures."""
    there = set(results.models)
    lines = ["## What of the papers' claims holds here", ""]
    kept = ("colour", "detail", "ssim", "mse", "spill")
    for title, one, other, keys in (
        ("SARGAN over StarGAN in colour and detail", "StarGAN", "SARGAN", kept),
        ("What the attention block adds to US-GAN", "US-GAN", "SARGAN", kept),
        ("The same with a second seed", "US-GAN-seed1", "SARGAN-seed1", kept),
        ("What a seed alone does: SARGAN", "SARGAN", "SARGAN-seed1", kept),
        ("SARGAN learns from small sets: half of the people", "SARGAN", "SARGAN-50", kept),
        ("SARGAN learns from small sets: a quarter of the people", "SARGAN", "SARGAN-25", kept),
    ):
        if {one, other} <= there:
            lines += [f"**{title}** (test people):", ""]
            lines += [
                f"- {difference(results, 'in', one, other, key)}" for key in (*keys, *seen_by_judges(results))
            ]
            lines.append("")
    if {"StarGAN", "US-GAN", "SARGAN"} <= there:
        lines += ["**It works on paintings, avatars, statues** (out of the data set):", ""]
        for one in ("none", "StarGAN", "US-GAN"):
            lines += [
                f"- {difference(results, 'ood', one, 'SARGAN', key)}"
                for key in ("colour", *seen_by_judges(results))
            ]
        lines.append("")
    lines += pixel_claims(results)
    if "aipgan" in there:
        lines += leakage(results)
    return lines


def seen_by_judges(results: Results) -> list[str]:
    """Return the keys of what all judges see: recognised, and identity."""
    measured = {key for people in results.people.values() for figures in people.values() for key in figures}
    return sorted(key for key in measured if key.split(":")[0] in ("recognised", "identity"))


def leakage(results: Results) -> list[str]:
    """Return whether the output moves towards the face of the person who lends the expression, by data set."""
    lines = [
        "**AIP-GAN against leakage**: does the output move towards the face of the person who lends the expression? "
        "Cosine to that person, output less input; doing nothing leaks nothing, so recognised stands beside it:",
        "",
    ]
    rows = [row for row in results.rows if row.model == "aipgan" and row.expression == "all"]
    for row in sorted(rows, key=lambda row: (row.part, row.source != "all", row.source)):
        leak = row.figures.get("leak")
        if (
            leak is None
            or leak.low is None
            or leak.high is None
            or (row.part == "ood" and row.source != "all")
        ):
            continue
        verdict = "leaks measurably" if leak.low > 0 else "no leak beyond the noise"
        where = "out of the data set" if row.part == "ood" else f"in the data set, {row.source}"
        lines.append(
            f"- {where}: {leak.mean:+.3f} ({leak.low:+.3f} … {leak.high:+.3f}), recognised "
            f"{row.figures['recognised'].mean:.1f} %: **{verdict}**."
        )
    return [*lines, ""]


def pixel_claims(results: Results) -> list[str]:
    """Return the claims of the pixel paper: size, and out of the data set."""
    one = 2 * 128 * 128
    lines = [
        "**The pixel model is two orders of magnitude smaller**: its plain form has one weight and one bias a pixel, "
        f"{one:,} numbers an expression at 128 px.",
        "",
    ]
    for arch in ("stargan", "usgan", "sargan"):
        count = count_coefficients(Generator(preset(arch)))
        lines.append(
            f"- {arch} at the published setting: {count:,} numbers, {count / one:.0f} times one expression."
        )
    plain = results.costs.get("pixel-plain")
    for name, cost in results.costs.items():
        if plain is not None and name != "pixel-plain":
            ratio = cost.parameters / plain.parameters
            lines.append(
                f"- {name} as it was compared here: {cost.parameters:,} numbers, {ratio:.0f} times `pixel-plain` with "
                "all its seven expressions; "
                f"{cost.multiply_adds / max(1, plain.multiply_adds):,.0f} times the multiply-adds."
            )
    lines += ["", "**… and better out of the data set**:", ""]
    rivals = [name for name in results.models if name in ("StarGAN", "US-GAN", "SARGAN", "sargan")]
    for rival in rivals:
        for pixel in ("pixel-plain", "pixel"):
            for key in ("recognised", "identity", "colour", "spill"):
                if pixel in results.models:
                    lines.append(f"- {difference(results, 'ood', rival, pixel, key)}")
    if not rivals:
        lines.append("- no network to compare with was there.")
    return [*lines, ""]


def difference(results: Results, part: str, one: str, other: str, key: str) -> str:
    """Return one sentence: both means, their paired difference, and whether it exceeds the noise."""
    metric = metric_of(key)
    people = results.people.get(part, {})
    before, after = (people.get(name, {}).get(key, {}) for name in (one, other))
    common = sorted(before.keys() & after.keys())
    if not common:
        return f"{metric.label}: not measured"
    if metric.better == "one":
        # Compared by the distance from 1: blurred and grainy are both wrong.
        values = [abs(after[person] - 1) - abs(before[person] - 1) for person in common]
    else:
        values = [after[person] - before[person] for person in common]
    low, high = interval(values)
    means = [float(np.mean([found[person] for person in common])) for found in (before, after)]
    if low is None or high is None or low <= 0 <= high:
        verdict = "within the noise"
    else:
        verdict = "better" if (np.mean(values) > 0) == (metric.better == "high") else "worse"
    digits = metric.decimals + 1
    span = (
        ""
        if low is None or high is None
        else f", difference {np.mean(values):+.{digits}f} ({low:+.{digits}f} … {high:+.{digits}f})"
    )
    if metric.better == "one":
        span = span.replace("difference", "distance from 1")
    unit = f" {metric.unit}" if metric.unit else ""
    return (
        f"{metric.label}: {one} {means[0]:.{digits}f}{unit}, {other} {means[1]:.{digits}f}{unit}{span}: "
        f"{other} is **{verdict}**."
    )


if __name__ == "__main__":
    main()
