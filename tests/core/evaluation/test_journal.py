import numpy as np
import pytest

from sargan_core.evaluation.journal import Journal, Measure, PhotoMeasures


def entry(key="k1"):
    measure = Measure(
        *("in", "made", "anna", "anna.png", "pixel", "happy", 0.5),
        values={"identity": 0.875},
        predicted={"made": "happy"},
        features={"made": np.array([0.5, -1.25], np.float32)},
    )
    return PhotoMeasures(key, "anna.png", "pixel", (measure,))


def test_what_was_written_is_read_again(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(entry("k1"))
    journal.append(entry("k2"))
    one, other = journal.read()
    assert (one.key, other.key) == ("k1", "k2")
    (measure,) = one.measures
    assert np.array_equal(measure.features["made"], entry().measures[0].features["made"])
    assert measure.to_json() == entry().measures[0].to_json()


@pytest.mark.parametrize(
    "rest", [b'{"key": "k2", "pho', b"\xff\xfe nonsense\n", b"[1, 2]\n", b'{"measures": 3}\n']
)
def test_a_torn_or_foreign_line_is_left_out_and_swallows_nothing(tmp_path, rest):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(entry("k1"))
    with journal.path.open("ab") as stream:
        stream.write(rest)
    journal.append(entry("k3"))
    assert [item.key for item in journal.read()] == ["k1", "k3"]


def test_no_file_is_no_entry(tmp_path):
    assert list(Journal(tmp_path / "journal.jsonl").read()) == []
