"""What is fuzzed."""

from __future__ import annotations

from mutation import changed_json
from photo_target import change_photo, check_photo, photos
from target import Target
from text_targets import (
    change_lines,
    change_list,
    check_expression,
    check_judge,
    check_list,
    check_manifest,
    check_run_file,
    expressions,
    judges,
    lists,
    manifests,
    run_files,
)  # fmt: skip
from weights_targets import (
    change_weights,
    check_checkpoint,
    check_index,
    check_weights,
    checkpoints,
    indices,
    weights,
)  # fmt: skip

TARGETS: dict[str, Target] = {
    "photos": Target(photos, check_photo, change_photo),
    "weights": Target(weights, check_weights, change_weights),
    "index": Target(indices, check_index, changed_json),
    "lists": Target(lists, check_list, change_list),
    "manifests": Target(manifests, check_manifest, change_lines),
    "run-files": Target(run_files, check_run_file, changed_json),
    "checkpoints": Target(checkpoints, check_checkpoint),
    "judges": Target(judges, check_judge),
    "expressions": Target(expressions, check_expression),
}
