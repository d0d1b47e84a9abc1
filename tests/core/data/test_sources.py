from pathlib import Path

import numpy as np
import pytest

from sargan_core.data.samples import Pair, Sample, pairs
from sargan_core.data.sources import read_sources
from sargan_core.errors import DataError
from sargan_core.expressions import Expression

SHARED = Path(__file__).parents[4] / "shared" / "data"


def touch(root, *names):
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not looked at")
    return root


def by_name(sources):
    return {sample.path.name: sample for sample in sources.samples}


def names(found: list[Pair]):
    return {(pair.source.path.name, pair.target.path.name) for pair in found}


def test_kdef_in_its_own_folders(tmp_path):
    touch(
        tmp_path,
        "AF01/AF01ANS.JPG",
        "AF01/AF01NES.JPG",
        "AF01/AF01ANHL.JPG",
        "BF01/BF01HAS.JPG",
        "AF31/AF31V.JPG",
    )
    sources = read_sources([tmp_path])
    found = by_name(sources)
    assert set(found) == {"AF01ANS.JPG", "AF01NES.JPG", "BF01HAS.JPG"}
    assert {sample.person for sample in sources.samples} == {"kdef-F01"}
    assert {item.path.name for item in sources.skipped} == {"AF01ANHL.JPG", "AF31V.JPG"}
    # Session B has its own light and clothes: no pair across the sessions.
    assert names(pairs(sources.samples)) == {
        ("AF01ANS.JPG", "AF01NES.JPG"),
        ("AF01NES.JPG", "AF01ANS.JPG"),
    }


def test_kdef_names_sorted_into_code_folders_keep_their_persons(tmp_path):
    touch(tmp_path, "ANS/AM07ANS.JPG", "NES/AM07NES.JPG", "HAS/AM07SAS.JPG", "AKDEF/HAS/MHAS.JPG")
    sources = read_sources([tmp_path])
    assert {sample.person for sample in sources.samples} == {"kdef-M07"}
    reasons = {item.path.name: item.reason for item in sources.skipped}
    assert "sad" in reasons["AM07SAS.JPG"]
    assert "happy" in reasons["AM07SAS.JPG"]
    assert "AKDEF" in reasons["MHAS.JPG"]


def test_rafd_contempt_is_left_out_and_counted(tmp_path):
    stems = ["angry_frontal", "neutral_frontal", "contemptuous_frontal", "happy_left"]
    touch(
        tmp_path,
        *(f"Rafd090_{number}_Caucasian_male_{stem}.jpg" for number in ("28", "30") for stem in stems),
    )
    sources = read_sources([tmp_path])
    assert len(sources.samples) == 4
    assert sorted(sources.reasons().values()) == [2, 2]
    assert any("contemptuous" in reason for reason in sources.reasons())
    assert len(pairs(sources.samples)) == 4


def test_jaffe_takes_pair_with_each_other(tmp_path):
    touch(tmp_path, "KA.AN1.39.tiff", "KA.AN2.40.tiff", "KA.NE1.26.tiff", "KL.NE1.155.tiff")
    sources = read_sources([tmp_path])
    assert {sample.person for sample in sources.samples} == {"jaffe-KA", "jaffe-KL"}
    assert len(pairs(sources.samples)) == 4


def test_class_folders_find_the_person_in_the_file_name(tmp_path):
    root = touch(
        tmp_path / "mine",
        "neutral/anna.jpg",
        "smile/anna_k1.png",
        "smile/anna-happy.jpg",
        "AFS/anna_fear_k2.jpg",
        "surprised/anna lee.webp",
        "angry/anna_sad.jpg",
    )
    found = by_name(read_sources([root]))
    assert {name for name, sample in found.items() if sample.person == "mine-anna"} == {
        "anna.jpg",
        "anna_k1.png",
        "anna-happy.jpg",
        "anna_fear_k2.jpg",
    }
    assert found["anna_k1.png"].take == "k1"
    assert found["anna_fear_k2.jpg"].take == "k2"
    assert found["anna_fear_k2.jpg"].expression is Expression.FEARFUL
    # Another expression's word at the end is part of the name.
    assert found["anna_sad.jpg"].person == "mine-anna_sad"


def test_variants_pair_with_what_has_none_and_with_their_own(tmp_path):
    touch(tmp_path, "neutral/a.jpg", "happy/a_k0.jpg", "happy/a_k1.jpg", "sad/a_k0.jpg", "sad/b_k0.jpg")
    found = pairs(read_sources([tmp_path]).samples)
    # Between neutral and each of three pictures, and between the two of variant 0, both ways.
    assert len(found) == 8
    assert len({pair.source.person for pair in found}) == 1
    assert ("a_k0.jpg", "a_k1.jpg") not in names(found)


def test_every_file_is_a_sample_or_skipped_with_a_reason(tmp_path):
    touch(tmp_path, "happy/a.jpg", "happy/notes.txt", "contempt/a.jpg", "b.jpg", "happy/deep/er/c.jpg")
    (tmp_path / "happy/empty.jpg").write_bytes(b"")
    (tmp_path / "happy/lost.jpg").symlink_to(tmp_path / "nowhere.jpg")
    sources = read_sources([tmp_path])
    assert {sample.path.name for sample in sources.samples} == {"a.jpg", "c.jpg"}
    reasons = {item.path.relative_to(tmp_path).as_posix(): item.reason for item in sources.skipped}
    assert set(reasons) == {"happy/notes.txt", "contempt/a.jpg", "b.jpg", "happy/empty.jpg", "happy/lost.jpg"}
    assert "empty" in reasons["happy/empty.jpg"]
    assert "expression" in reasons["b.jpg"]


def test_a_link_back_up_ends(tmp_path):
    touch(tmp_path, "happy/a.jpg")
    (tmp_path / "happy" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(read_sources([tmp_path]).samples) == 1


def test_same_file_twice_counts_once(tmp_path):
    touch(tmp_path, "happy/a.jpg")
    sources = read_sources([tmp_path, tmp_path])
    assert len(sources.samples) == 1
    assert "before" in sources.skipped[0].reason


def test_people_of_two_folders_of_one_name_are_not_mixed_up(tmp_path):
    one, other = touch(tmp_path / "x/faces", "happy/a.jpg"), touch(tmp_path / "y/faces", "happy/a.jpg")
    sources = read_sources([one, other])
    assert len({sample.person for sample in sources.samples}) == 2
    assert pairs([*sources.samples, *read_sources([touch(one, "sad/a.jpg"), other]).samples])


def test_a_folder_that_is_called_like_a_set_is_not_that_set(tmp_path):
    root = touch(tmp_path / "synth", "happy/a.jpg", "sad/a.jpg")
    pair = pairs(read_sources([root]).samples)[0]
    assert pair.source.source != "synth"
    assert not pair.still


def test_nothing_found_names_folder_and_layouts(tmp_path):
    with pytest.raises(DataError, match=r"no such folder"):
        read_sources([tmp_path / "gone"])
    with pytest.raises(DataError, match=r"nothing in it.*KDEF.*CSV"):
        read_sources([tmp_path])
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(DataError, match=r"no usable photo among 2 files.*KDEF"):
        read_sources([tmp_path])
    with pytest.raises(DataError, match="neither a folder nor a CSV"):
        read_sources([tmp_path / "a.jpg"])
    with pytest.raises(DataError):
        read_sources([])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_list(tmp_path, separator):
    touch(tmp_path, "images/x1.jpg", "images/ü2.jpg", "images/x3.jpg")
    rows = [
        ("person", "path", "Expression", "note"),
        ("7", "images/x1.jpg", "HA", "n"),
        ("7", "images/ü2.jpg", "neutral", ""),
        ("7", "images/x3.jpg", "happily surprised", ""),
        ("8", "images/gone.jpg", "sad", ""),
        ("", "images/x1.jpg", "sad", ""),
    ]
    file = tmp_path / "cfee.csv"
    file.write_text("\n".join(separator.join(row) for row in rows), encoding="utf-8-sig")
    for given in (file, tmp_path):
        sources = read_sources([given])
        assert [sample.expression for sample in sources.samples] == [Expression.HAPPY, Expression.NEUTRAL]
        assert len({sample.person for sample in sources.samples}) == 1
        reasons = " ".join(sources.reasons())
        assert "happily surprised" in reasons
        assert "not there" in reasons
        assert "without a path or a person" in reasons
        assert len(pairs(sources.samples)) == 2


def test_csv_without_a_column_is_refused(tmp_path):
    file = tmp_path / "list.csv"
    file.write_text("path,expression\na.jpg,happy\n")
    with pytest.raises(DataError, match=r"list\.csv.*lacks person"):
        read_sources([file])


def shared_sets(root):
    points = np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2)
    mesh = np.zeros((2, 478, 2), np.float32)
    touch(root, "london/neutral/001.jpg", "london/happy/001.jpg", "extra/neutral/mx.jpg", "frames/001.jpg")
    touch(root, "london/info.csv", "transfer/sad/001_k0.jpg", "transfer/sad/mx_k1.jpg", "transfer/README.md")
    touch(root, "synth/neutral/s0.jpg", "synth/sad/s0.jpg", "synth/records/s0.json")
    ids = np.array(["000", "001"])
    neutral = {"neutral_ids": ids, "neutral_ibug68": points + 9, "neutral_ibug68_manual": points}
    happy = {"happy_ids": ids, "happy_ibug68": points + 9, "happy_mesh478": mesh}
    np.savez(root / "london/landmarks.npz", **neutral, **happy, neutral_mesh478=mesh)
    neutral["neutral_ids"] = np.array(["mx", "cx"])
    np.savez(root / "extra/landmarks.npz", **neutral, neutral_mesh478=mesh)
    files = np.array(["sad/001_k0.jpg", "sad/mx_k1.jpg"])
    np.savez(root / "transfer/landmarks.npz", files=files, ibug68=points, ibug68_manual=points, mesh478=mesh)
    np.savez(root / "synth/landmarks.npz", names=np.array(["sad/s0.jpg", "neutral/s0.jpg"]), landmarks=points)
    return root


def test_shared_sets_are_found_from_their_parent(tmp_path):
    sources = read_sources([shared_sets(tmp_path)])
    found = {sample.path.relative_to(tmp_path).as_posix(): sample for sample in sources.samples}
    assert len(found) == 7
    assert found["london/neutral/001.jpg"].person == found["transfer/sad/001_k0.jpg"].person == "london-001"
    assert found["synth/sad/s0.jpg"].person == "synth-s0"
    assert found["transfer/sad/mx_k1.jpg"].person == found["extra/neutral/mx.jpg"].person
    assert [name for name, sample in found.items() if sample.train_only] == [
        "extra/neutral/mx.jpg",
        "transfer/sad/mx_k1.jpg",
    ]
    assert found["extra/neutral/mx.jpg"].source == "neutral_extra"
    assert [item.path.name for item in sources.skipped] == ["001.jpg"]


def test_shared_landmarks_are_the_right_row_with_centres_at_integers(tmp_path):
    sources = read_sources([shared_sets(tmp_path)])
    found = {sample.path.relative_to(tmp_path).as_posix(): sample for sample in sources.samples}
    points = np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2) - 0.5
    np.testing.assert_array_equal(found["london/neutral/001.jpg"].landmarks, points[1])
    np.testing.assert_array_equal(found["london/happy/001.jpg"].landmarks, points[1] + 9)
    np.testing.assert_array_equal(found["london/neutral/001.jpg"].found_landmarks, points[1] + 9)
    np.testing.assert_array_equal(found["synth/sad/s0.jpg"].landmarks, points[0])


def test_transferred_pictures_pair_with_the_neutral_photo_only(tmp_path):
    found = pairs(read_sources([shared_sets(tmp_path)]).samples)
    sets = {
        (pair.source.source, pair.target.source, str(pair.target.expression), pair.still) for pair in found
    }
    assert sets == {
        ("london", "london", "happy", False),
        ("london", "london", "neutral", False),
        ("london", "transfer", "sad", True),
        ("transfer", "london", "neutral", True),
        ("neutral_extra", "transfer", "sad", True),
        ("transfer", "neutral_extra", "neutral", True),
        ("synth", "synth", "sad", True),
        ("synth", "synth", "neutral", True),
    }


def test_damaged_landmarks_name_the_file(tmp_path):
    root = shared_sets(tmp_path)
    whole = (root / "synth/landmarks.npz").read_bytes()
    sample = next(item for item in read_sources([root]).samples if item.source == "synth")
    (root / "synth/landmarks.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"synth.landmarks\.npz"):
        read_sources([root])
    with pytest.raises(DataError, match=r"synth.landmarks\.npz"):
        _ = sample.landmarks


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared sets are not beside the repository")
def test_the_shared_sets_as_they_lie():
    sources = read_sources([SHARED])
    counts = dict.fromkeys(("london", "transfer", "neutral_extra", "synth"), 0)
    for sample in sources.samples:
        counts[sample.source] += 1
    assert counts == {"london": 176, "transfer": 2484, "neutral_extra": 50, "synth": 1827}
    assert all(sample.known is not None for sample in sources.samples)
    inputs: dict[str, set[str]] = {}
    for pair in pairs(sources.samples):
        if pair.source.expression is Expression.NEUTRAL:
            inputs.setdefault(pair.target.source, set()).add(str(pair.target.path))
    assert {name: len(paths) for name, paths in inputs.items()} == {
        "london": 88,
        "transfer": 2484,
        "synth": 1566,
    }


def test_samples_are_values(tmp_path):
    sample = Sample(tmp_path / "a.jpg", "x-a", Expression.SAD, "x")
    assert sample == Sample(tmp_path / "a.jpg", "x-a", Expression.SAD, "x")
    assert sample.landmarks is sample.found_landmarks is None
