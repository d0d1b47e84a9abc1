"""Cost of a model: parameters, multiply-adds, time and memory for one image, measured in a separate process."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sargan_core.errors import DataError, SarganError
from sargan_core.evaluation.protocol import TARGETS, Case, EvaluationSettings, ModelChoice
from sargan_core.weights import find_record

REPEATS = 5


@dataclass(frozen=True)
class Cost:
    """The cost of editing one photo.

    Attributes:
        parameters: number of weights or fitted coefficients; for a pixel model those of all expressions.
        bytes: size of the weights file.
        multiply_adds: of the model for one face: convolutions and matrix products, and also element-wise products,
            sums and interpolations, which are all the work of a pixel model.
        model_ms: median time of the model.
        edit_ms: median time of finding, cropping, model and paste; without reading and writing the file.
        peak_mb: peak memory of the whole process, libraries included; None where the system does not report it.
        threads: number of threads.
        photo: width and height of the photo.
    """

    parameters: int
    bytes: int
    multiply_adds: int
    model_ms: float
    edit_ms: float
    peak_mb: float | None
    threads: int
    photo: tuple[int, int]


def measure_cost(choice: ModelChoice, settings: EvaluationSettings, case: Case) -> Cost:
    """Return what ``choice`` costs on the photo of ``case``.

    Runs in a fresh process, so that no other model's memory is counted.

    Raises:
        DataError: it cannot be measured; the message has one line.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
            return pool.submit(_measure, choice, settings, case).result()
    except Exception as error:  # an error of one model must not lose what is measured already
        lines = str(error).splitlines() or [""]
        reason = lines[0] if isinstance(error, SarganError) else f"{type(error).__name__}: {lines[0]}"
        raise DataError(f"the cost of '{choice.name}' could not be measured ({reason})") from error


def _measure(choice: ModelChoice, settings: EvaluationSettings, case: Case) -> Cost:
    from sargan_core.editor import Editor
    from sargan_core.evaluation.measure import edit_settings
    from sargan_core.expressions import ExpressionMix
    from sargan_core.models.base import Target
    from sargan_core.photo.photo import read_photo

    editor = Editor(edit_settings(choice, settings))
    photo = read_photo(case.path)
    if not editor.find(photo):
        raise DataError("no face found")
    target: Target = ExpressionMix(((TARGETS[0], 1.0),))
    if editor.model.takes_reference:
        path = case.reference(TARGETS[0])
        if path is None:
            raise DataError("there is no photo of the expression to show it")
        target = editor.reference(read_photo(path))
    times, model_times = [], []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        result = editor.edit(photo, target)
        times.append(time.perf_counter() - started)
        model_times.append(result.seconds["model"])
    prepared = editor.prepare(photo)
    size = choice.weights.stat().st_size if choice.weights else find_record(choice.name).bytes
    # The counter runs last: it is slow and allocates.
    peak = _peak_mb()
    return Cost(
        parameters=count_coefficients(editor.model),
        bytes=size,
        multiply_adds=count_multiply_adds(lambda: editor.infer([prepared], target)),
        model_ms=1000 * statistics.median(model_times[1:]),
        edit_ms=1000 * statistics.median(times[1:]),
        peak_mb=peak,
        threads=torch.get_num_threads(),
        photo=(photo.width, photo.height),
    )


def count_coefficients(model: torch.nn.Module) -> int:
    """Return the number of parameters, or of stored coefficients for a model that has none to train."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters or sum(buffer.numel() for name, buffer in model.named_buffers() if "dense" not in name)


def count_multiply_adds(run: Any) -> int:
    """Return the multiply-adds of calling ``run``; one multiplication or one addition alone counts half."""
    counter = FlopCounterMode(display=False, custom_mapping=_elementwise())
    with counter:
        run()
    return int(counter.get_total_flops()) // 2


def _elementwise() -> dict[Any, Any]:
    """Return the operations per written element that the counter of torch leaves out."""
    aten = torch.ops.aten

    def times(factor: int) -> Any:
        def count(*shapes: Any, out_shape: Any = None, **options: Any) -> int:
            written = out_shape[0] if isinstance(out_shape, tuple | list) and out_shape else out_shape
            shape = written if isinstance(written, torch.Size | tuple | list) else out_shape
            return factor * int(torch.Size(shape).numel()) if shape is not None else 0

        return count

    once = (aten.mul, aten.mul_, aten.add, aten.add_, aten.sub, aten.sub_, aten.div)
    twice = (aten.lerp, aten.addcmul)
    # Bilinear: four products, four sums.
    interpolations = (aten.grid_sampler_2d, aten.upsample_bilinear2d)
    return {
        **{operation: times(1) for operation in once},
        **{operation: times(2) for operation in twice},
        **{operation: times(8) for operation in interpolations},
    }


def _peak_mb() -> float | None:
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
