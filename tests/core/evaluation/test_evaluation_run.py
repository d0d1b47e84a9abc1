import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_faces import MadeJudge, judges_that_end_workers, made_judges
from PIL import Image

from sargan_core.errors import DataError, UsageError, WeightsError, WorkerLostError
from sargan_core.evaluation.examples import Gallery, choose, make_gallery
from sargan_core.evaluation.journal import Measure
from sargan_core.evaluation.metrics import HIGHEST_PSNR
from sargan_core.evaluation.protocol import EvaluationSettings, ModelChoice, parse_models
from sargan_core.evaluation.report import JSON, write_report
from sargan_core.evaluation.results import read_results
from sargan_core.evaluation.run import JOURNAL, evaluate

PLAIN = Path(__file__).parents[3] / "weights" / "pixel-plain.safetensors"


@pytest.fixture(scope="module")
def settings(still_set):
    return EvaluationSettings(
        (ModelChoice("plain", PLAIN),),
        data=(still_set,),
        everyone=True,
        curve_people=1,
        strengths=(0.5, 1.0),
        device="cpu",
    )


@pytest.fixture(scope="module")
def finished(settings, still_set, tmp_path_factory):
    """One run over three people and two unlabelled photos, of which one cannot be read."""
    ood = tmp_path_factory.mktemp("ood")
    Image.open(still_set / "neutral" / "anna.png").rotate(4).save(ood / "tilted.png")
    (ood / "broken.png").write_bytes(b"not a photo")
    out = tmp_path_factory.mktemp("out")
    return evaluate(replace(settings, ood=(ood,)), out, made_judges, costs=False), out


def figures(results, model, part="in"):
    return {key: value.mean for key, value in results.row(model, part).figures.items()}


def test_doing_nothing_changes_nothing_and_keeps_the_error_of_the_input(finished, still_set):
    found = figures(finished[0].results, "none")
    for key in ("background", "seam", "spill", "colour"):
        assert found[key] == 0
    assert found["detail"] == pytest.approx(1)
    assert found["identity"] == pytest.approx(1, abs=1e-5)
    assert 0 < found["mse"] < 10_000
    assert found["ssim"] < 1


def test_an_edit_leaves_the_background_alone(finished):
    found = figures(finished[0].results, "plain")
    assert found["background"] == 0
    assert found["identity"] < 1
    assert found["mse"] != figures(finished[0].results, "none")["mse"]


def test_true_pictures_stand_beside_with_what_the_judge_sees(finished):
    row = finished[0].results.row("truth")
    assert row.pictures == 6
    assert "mse" not in row.figures
    assert row.figures["recognised"].mean == pytest.approx(50)  # the made judge knows happy only


def test_parts_are_apart_and_unlabelled_photos_have_no_true_picture(finished):
    results = finished[0].results
    assert "mse" in figures(results, "plain", "in")
    assert "mse" not in figures(results, "plain", "ood")
    assert results.row("plain", "ood").pictures == 6
    assert results.truths == {"in": {"exact": 6, "registered": 0}}


def test_a_bad_photo_is_named_and_the_others_are_measured(finished):
    ((photo, reason),) = finished[0].results.skipped.items()
    assert photo.endswith("broken.png")
    assert "broken.png" in reason


def test_curves_begin_at_the_photo_itself(finished):
    points = [point for point in finished[0].results.curves if point.expression == "happy"]
    assert [point.strength for point in points] == [0.0, 0.5, 1.0]
    assert points[0].figures["identity"] == pytest.approx(1, abs=1e-5)
    assert {point.people for point in points} == {1}


def test_the_same_run_again_measures_nothing_and_gives_the_same(finished, settings, tmp_path, monkeypatch):
    (tmp_path / JOURNAL).write_bytes((finished[1] / JOURNAL).read_bytes())

    def forbidden(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr("sargan_core.evaluation.measure.Session.subject", forbidden)
    again = evaluate(settings, tmp_path, made_judges, costs=False).results
    assert again.people["in"] == finished[0].results.people["in"]
    assert [row for row in again.rows if row.part == "in"] == [
        row for row in finished[0].results.rows if row.part == "in"
    ]


def test_a_run_that_was_cut_short_goes_on(finished, settings, tmp_path):
    lines = (finished[1] / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join(lines[:4]) + lines[4][:50])
    seen = []
    results = evaluate(
        settings,
        tmp_path,
        made_judges,
        lambda done, total: seen.append((done, total)),
        costs=False,
    ).results
    assert seen[0] == (1, 3)
    assert seen[-1] == (3, 3)
    assert results.people["in"] == finished[0].results.people["in"]


def test_workers_measure_what_one_process_measures(finished, settings, tmp_path):
    few = replace(settings, limit=2, models=(), curve_people=0, workers=2)
    results = evaluate(few, tmp_path, made_judges, costs=False).results
    expected = finished[0].results.people["in"]["none"]["mse"]
    # Not to the last bit: how float32 sums are split depends on the number of threads of a process.
    wanted = {person: expected[person] for person in ("synth-anna", "synth-bert")}
    assert results.people["in"]["none"]["mse"] == pytest.approx(wanted, rel=1e-6)


def test_a_worker_that_is_killed_ends_the_run_in_one_line(settings, tmp_path):
    few = replace(settings, limit=2, models=(), curve_people=0, workers=2)
    with pytest.raises(WorkerLostError, match="call again to continue, with fewer --workers"):
        evaluate(few, tmp_path, judges_that_end_workers, costs=False)
    assert multiprocessing.active_children() == []


def test_another_judge_measures_anew(finished, settings, tmp_path, monkeypatch):
    (tmp_path / JOURNAL).write_bytes((finished[1] / JOURNAL).read_bytes())
    monkeypatch.setattr(MadeJudge, "key", "2")
    seen = []
    short = replace(settings, limit=1, models=(), curve_people=0)
    evaluate(short, tmp_path, made_judges, lambda done, total: seen.append(done), costs=False)
    assert seen == [0, 1]


def test_the_report_is_complete_and_its_json_reads_back(finished, tmp_path):
    done, _ = finished
    gallery = make_gallery(done.session, done.cases, done.measures, ["plain"])
    page = write_report(done.results, gallery, tmp_path).read_text()
    assert page.count("data:image/jpeg") > 12
    assert "http://" not in page
    assert "https://" not in page
    again = read_results(tmp_path / JSON)
    assert again.people["in"]["plain"]["mse"].keys() == done.results.people["in"]["plain"]["mse"].keys()
    assert again.to_json() == done.results.to_json()
    values = json.loads((tmp_path / JSON).read_text())
    assert values["settings"]["everyone"] is True
    assert (tmp_path / "results.csv").read_text().startswith("part,source,model")


def test_best_median_and_worst_are_chosen_by_the_figure():
    measures = [
        Measure("in", "s", f"p{number}", f"p{number}", "m", "happy", values={"identity": value})
        for number, value in enumerate((0.2, 0.9, 0.5, 0.7, 0.1))
    ]
    chosen = choose(measures, "identity")
    assert {place: measure.values["identity"] for place, measure in chosen.items()} == {
        "best": 0.9,
        "median": 0.5,
        "worst": 0.1,
    }
    assert choose(measures[:1], "identity").keys() == {"best"}
    assert choose(measures, "mse") == {}


def test_nothing_to_evaluate_and_unknown_models_end_the_run(tmp_path, settings):
    with pytest.raises(UsageError, match="--data"):
        evaluate(EvaluationSettings(()), tmp_path, made_judges)
    with pytest.raises(WeightsError, match="nowhere"):
        evaluate(replace(settings, models=(ModelChoice("nowhere"),)), tmp_path, made_judges)
    black = tmp_path / "black"
    black.mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(black / "a.png")
    with pytest.raises(DataError, match="no face"):
        evaluate(EvaluationSettings((), ood=(black,)), tmp_path, made_judges)


@pytest.mark.parametrize("text", ["a,a", "=x", "truth", "none=x.safetensors", "a=", ","])
def test_model_names_that_mean_nothing(text):
    with pytest.raises(UsageError, match="--model"):
        parse_models(text)


def test_models_by_name_and_by_file():
    assert parse_models("none, pixel,mine=runs/x.safetensors") == (
        ModelChoice("pixel"),
        ModelChoice("mine", Path("runs/x.safetensors")),
    )
    assert parse_models("none") == ()
    assert HIGHEST_PSNR == 100


def test_a_model_that_is_shown_photos_gets_another_persons_and_may_leak(still_set, tmp_path):
    settings = EvaluationSettings(
        (ModelChoice("aipgan"),), data=(still_set,), everyone=True, limit=2, curve_people=0, device="cpu"
    )
    results = evaluate(settings, tmp_path, made_judges, costs=False).results
    assert "leak" in figures(results, "aipgan")
    assert "leak" not in figures(results, "none")
    assert results.row("aipgan").pictures == 4  # two people, the two expressions that somebody shows


def test_without_labelled_photos_there_is_nothing_to_show_it(still_set, tmp_path):
    settings = EvaluationSettings(
        (ModelChoice("aipgan"),), ood=(still_set / "neutral",), limit=1, device="cpu"
    )
    results = evaluate(settings, tmp_path, made_judges, costs=False).results
    assert "--data" in next(iter(results.skipped.values()))
    assert results.row("aipgan", "ood") is None


def test_a_cost_that_cannot_be_measured_does_not_end_the_evaluation(settings, finished, monkeypatch):
    def fails(*_):
        raise DataError("the cost of 'plain' could not be measured (RuntimeError: dtype)")

    monkeypatch.setattr("sargan_core.evaluation.run.measure_cost", fails)
    out = finished[1]
    again = evaluate(settings, out, made_judges).results
    assert again.costs == {}
    assert "dtype" in again.cost_notes["plain"]
    write_report(again, Gallery(), out)
    assert read_results(out / JSON).cost_notes == again.cost_notes


def test_the_record_says_the_number_format_that_was_used(finished):
    assert finished[0].results.settings["precision"] == "fp32"
