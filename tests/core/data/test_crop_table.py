"""The table of crops: rows are chosen with everything that belongs to them, and files bring back what was saved."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sargan_core.data.crop_table import CropSet, CropTable, column
from sargan_core.data.crops import affine_template
from sargan_core.errors import DataError

SIZE = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighed(CropTable):
    weight: npt.NDArray[np.float32] = column(np.float32, (3,))


def crop_set(people: int = 3) -> CropSet:
    """Two crops per person; the grey value of a crop is its number."""
    count = 2 * people
    return CropSet(
        template=affine_template(SIZE),
        images=np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, SIZE, SIZE)),
        landmarks=np.arange(count * 136, dtype=np.float32).reshape(count, 68, 2),
        labels=np.tile([4, 3], people),
        persons=np.array([f"p{number // 2}" for number in range(count)]),
        pairs=np.array([(2 * person, 2 * person + 1) for person in range(people)]),
    )


def test_chosen_rows_keep_their_columns_and_whole_pairs_only():
    crops = crop_set()
    some = crops.select([5, 4, 0])
    assert some.images[:, 0, 0, 0].tolist() == [5, 4, 0]
    assert some.persons.tolist() == ["p2", "p2", "p0"]
    # The pair of p2 is there under its new numbers; that of p0 has lost a crop.
    assert some.pairs.tolist() == [[1, 0]]
    assert np.array_equal(some.landmarks, crops.landmarks[[5, 4, 0]])
    assert some.template == crops.template
    masked = crops.select(crops.persons == "p1")
    assert (len(masked), masked.pairs.tolist()) == (2, [[0, 1]])
    assert len(crops.select([])) == len(crops.select_links([])) == 0


def test_chosen_links_bring_their_crops():
    some = crop_set().select_links([2, 1])
    assert some.images[:, 0, 0, 0].tolist() == [2, 3, 4, 5]
    assert some.pairs.tolist() == [[2, 3], [0, 1]]


def test_neutral_crops_survive_a_choice():
    crops = crop_set()
    kept = np.array([False, False, True, True, True, True])
    some = crops.select(kept)
    assert np.array_equal(some.motions, crops.motions[kept])
    assert some.neutral.tolist() == [0, 0, 2, 2]


def test_columns_that_are_not_known_stay_so_through_choice_and_file(tmp_path: Path):
    crops = crop_set()
    assert not len(crops.select([0, 1]).sources)
    crops.save(tmp_path / "crops.safetensors")
    again = CropSet.load(tmp_path / "crops.safetensors")
    assert again.template == crops.template
    for name in ("images", "landmarks", "labels", "persons", "sources", "own", "paths", "pairs"):
        one, other = getattr(crops, name), getattr(again, name)
        assert np.array_equal(one, other), name
        assert one.dtype.kind == other.dtype.kind, name


def test_a_pack_of_another_kind_is_refused(tmp_path: Path):
    file = tmp_path / "crops.safetensors"
    Weighed(images=np.zeros((2, SIZE, SIZE), np.uint8), weight=np.zeros((2, 3), np.float32)).save(file)
    assert Weighed.load(file).weight.shape == (2, 3)
    with pytest.raises(DataError, match=r"crops\.safetensors.*weight"):
        CropTable.load(file)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"labels": np.zeros(5, np.int64)}, "labels"),
        ({"labels": np.full(6, 7)}, "label"),
        ({"landmarks": np.zeros((6, 67, 2), np.float32)}, "landmarks"),
        ({"persons": np.zeros(6, np.int64)}, "persons"),
        ({"pairs": np.array([[0, 6]])}, "crop 6"),
        ({"pairs": np.array([[-1, 0]])}, "crop -1"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changes: dict, named: str):
    with pytest.raises(DataError, match=named):
        replace(crop_set(), **changes)


def test_pictures_are_fractions_in_the_shape_of_the_rows():
    crops = crop_set()
    pictures = crops.pictures(crops.pairs)
    assert pictures.shape == (3, 2, 3, SIZE, SIZE)
    assert pictures[2, 1].unique().tolist() == pytest.approx([5 / 255])
