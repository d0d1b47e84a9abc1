"""The plan: which photos, which results, and never two of them in one place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sargan_core.batch.inputs import read_list
from sargan_core.batch.names import result_names
from sargan_core.batch.plan import PlanRequest, Shard, make_plan, make_variants, parse_shard
from sargan_core.errors import UsageError
from sargan_core.expressions import Like, parse_mix


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tree of empty files; it is the working directory."""
    for name in ("in/b.jpg", "in/a.PNG", "in/x/c.webp", "in/x/y/d.tif", "in/.hidden.jpg", "in/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*arguments, **options):
    values = {
        "arguments": arguments,
        "listed": None,
        "root": None,
        "folder": None,
        "mixes": [parse_mix("surprised")],
        "strengths": [1.0],
    }
    return make_plan(PlanRequest(**{**values, **options}))


def outputs(made):
    return [variant.output(source.name) for source in made.sources for variant in made.variants]


def test_a_folder_is_mirrored_beside_itself(tree):
    made = plan("in")
    assert made.folder == Path("in-surprised")
    assert outputs(made) == ["a.PNG", "b.jpg", "x/c.webp", "x/y/d.tif"]
    assert [source.path for source in made.sources] == ["in/a.PNG", "in/b.jpg", "in/x/c.webp", "in/x/y/d.tif"]
    assert made.notes == ("left out: files whose ending is no photo format (1)",)


@pytest.mark.parametrize("argument", ["in/", "./in", "../{}/in"])
def test_however_a_folder_is_written_the_plan_is_the_same(tree, argument):
    made = plan(argument.format(tree.name))
    assert made.folder.name == "in-surprised"
    assert made.folder.resolve() == (tree / "in-surprised").resolve()
    assert outputs(made) == outputs(plan("in"))


def test_the_working_folder_gets_its_results_beside_it(tree, monkeypatch):
    monkeypatch.chdir(tree / "in")
    assert plan(".").folder == tree / "in-surprised"


def test_several_folders_keep_their_names_and_files_their_own(tree):
    (tree / "in2").mkdir()
    (tree / "in2" / "b.jpg").touch()
    assert outputs(plan("in", "in2", folder=Path("out")))[:2] == ["in/a.PNG", "in/b.jpg"]
    assert outputs(plan("in/b.jpg", "in/a.PNG")) == ["a.PNG", "b.jpg"]
    assert outputs(plan("in/b.jpg", "in2/b.jpg")) == ["in/b.jpg", "in2/b.jpg"]
    assert outputs(plan("in", root=Path())) == [f"in/{name}" for name in outputs(plan("in"))]


def test_patterns_mirror_what_is_below_their_fixed_part(tree):
    assert outputs(plan("in/**/*.t*")) == ["x/y/d.tif"]
    assert outputs(plan("in/x/*")) == ["c.webp", "y/d.tif"]
    with pytest.raises(UsageError, match="matches nothing"):
        plan("in/*.gif")


def test_an_input_that_is_not_there_is_named(tree):
    with pytest.raises(UsageError, match=r"gone\.jpg"):
        plan("in", "gone.jpg")


def test_a_file_that_is_given_twice_is_done_once(tree):
    assert outputs(plan("in", "in/b.jpg", "in/../in/b.jpg", folder=Path("o"))) == outputs(plan("in"))


def test_lists_are_mirrored_as_they_are_written(tree):
    names = ["in/x/c.webp", "./in/b.jpg", "in/x"]
    made = plan(listed=names, folder=Path("o"))
    assert outputs(made) == ["in/b.jpg", "in/x/c.webp"]
    assert "folders in the list" in made.notes[0]
    absolute = [str(tree / "in" / "b.jpg"), str(tree / "in" / "x" / "c.webp")]
    assert outputs(plan(listed=absolute, folder=Path("o"))) == ["b.jpg", "x/c.webp"]
    assert outputs(plan(listed=absolute, root=tree, folder=Path("o"))) == ["in/b.jpg", "in/x/c.webp"]
    with pytest.raises(UsageError, match="outside --root"):
        plan(listed=absolute, root=tree / "in" / "x", folder=Path("o"))


def test_read_list_takes_any_name_that_a_file_can_have():
    assert read_list(b"a b.jpg\n\nc\xff.jpg\r\n", null=False) == ["a b.jpg", os.fsdecode(b"c\xff.jpg")]
    assert read_list(b"a\nb.jpg\0c.jpg\0", null=True) == ["a\nb.jpg", "c.jpg"]


def test_own_results_and_other_batches_are_not_taken(tree):
    nested = tree / "in" / "edited"
    nested.mkdir()
    (nested / "b.jpg").touch()
    assert "edited/b.jpg" in outputs(plan("in"))
    assert "edited/b.jpg" not in outputs(plan("in", folder=Path("in/edited")))
    (nested / "sargan-batch.1-of-2.jsonl").touch()
    made = plan("in")
    assert "edited/b.jpg" not in outputs(made)
    assert any("results of a batch" in note for note in made.notes)
    assert outputs(plan("in/edited")) == ["b.jpg"]
    assert not any(output.startswith("edited") for output in outputs(plan("in/**/*.jpg", folder=Path("o"))))


def test_whoever_names_everything_does_not_name_the_results(tree):
    """As ``sargan batch *`` and ``find . | sargan batch --from -`` do on the second call."""
    (tree / "o" / "x").mkdir(parents=True)
    (tree / "o" / "x" / "b.jpg").touch()
    everything = ["in/b.jpg", "./o/x/b.jpg", str(tree / "o" / "x" / "b.jpg")]
    made = plan(listed=everything, root=Path(), folder=Path("o"))
    assert outputs(made) == ["in/b.jpg"]
    assert made.notes == ("left out: what lies in the output folder (2)",)
    assert outputs(plan("in", "o", folder=Path("o"))) == outputs(plan("in"))
    assert outputs(plan("in/b.jpg", "o/x/b.jpg", folder=Path("o"))) == ["b.jpg"]


def test_results_never_replace_photos_unless_asked(tree):
    with pytest.raises(UsageError, match="--in-place"):
        plan("in", folder=Path("in"))
    with pytest.raises(UsageError, match="--in-place"):
        plan("in/x", folder=Path("in/x/../x"))
    (tree / "link").symlink_to("in")
    with pytest.raises(UsageError, match="--in-place"):
        plan("in", folder=Path("link"))
    assert outputs(plan("in", folder=Path("in"), suffix="-new"))[1] == "b-new.jpg"
    made = plan("in", in_place=True)
    assert (made.folder, made.in_place) == (Path("in"), True)
    assert [made.folder / output for output in outputs(made)] == [
        Path(source.path) for source in made.sources
    ]


def test_in_place_keeps_its_reference(tree):
    (tree / "link.jpg").symlink_to(tree / "in/b.jpg")
    for name in ("in/b.jpg", "link.jpg"):
        mixes = [Like(Path(name), sha256="0" * 64)]
        with pytest.raises(UsageError, match=r"in/b\.jpg is one of the photos"):
            plan("in", in_place=True, mixes=mixes)
        assert plan("in", mixes=mixes).sources


@pytest.mark.parametrize(
    "options", [{"folder": Path("o")}, {"format": "PNG"}, {"suffix": "-x"}, {"strengths": [0.5, 1]}]
)
def test_in_place_has_no_room_for_other_names(tree, options):
    with pytest.raises(UsageError, match="--in-place"):
        plan("in", in_place=True, **options)


def test_links_are_followed_but_not_round_and_round(tree):
    (tree / "in" / "x" / "up").symlink_to(tree / "in")
    (tree / "elsewhere").mkdir()
    (tree / "elsewhere" / "e.jpg").touch()
    (tree / "in" / "linked").symlink_to(tree / "elsewhere")
    made = plan("in")
    assert "linked/e.jpg" in outputs(made)
    assert len(outputs(made)) == 5
    assert any("lead back" in note for note in made.notes)


def test_a_format_changes_endings_and_never_merges_two_photos():
    names = ["a.jpg", "a.png", "b.JPG", "b.jpeg", "c.webp", "d/a.jpg"]
    made, renamed = result_names(names, "PNG", "")
    assert made == ["a.jpg.png", "a.png", "b.JPG.png", "b.jpeg.png", "c.png", "d/a.png"]
    assert renamed == [("a.jpg", "a.jpg.png"), ("b.JPG", "b.JPG.png"), ("b.jpeg", "b.jpeg.png")]
    assert result_names(["a.jpg", "a.jpeg"], "JPEG", "-x")[0] == ["a-x.jpg", "a-x.jpeg"]


@pytest.mark.parametrize(
    "names", [["A.jpg", "a.jpg"], ["\u00e9.jpg", "e\u0301.jpg"], ["a.png.jpg", "a.png", "a.jpg", "A.JPG"]]
)
def test_names_that_some_file_system_takes_for_one_stay_apart(names):
    made, renamed = result_names(names, None if len(names) == 2 else "PNG", "")
    assert len({name.casefold() for name in made}) == len(names)
    assert renamed
    assert result_names(names[::-1], None if len(names) == 2 else "PNG", "")[0] == made[::-1]


def test_renamed_results_are_told(tree):
    (tree / "in" / "b.png").touch()
    made = plan("in", format="PNG")
    assert "b.jpg.png" in outputs(made)
    assert "b.png" in outputs(made)
    assert any("b.jpg -> b.jpg.png" in note for note in made.notes)


def test_expressions_get_folders_and_strengths_endings_that_sort():
    mixes = [parse_mix("happy"), parse_mix("sad"), parse_mix("happiness")]
    variants = make_variants(mixes, [1, 0.25, 0.5, 1.5])
    assert [variant.output("x/anna.jpg") for variant in variants[:4]] == [
        f"happy/x/anna-{ending}.jpg" for ending in ("025", "050", "100", "150")
    ]
    assert len(variants) == 8
    assert [variant.ending for variant in make_variants(mixes[:1], [0.125, 1])] == ["-012.5", "-100.0"]
    (single,) = make_variants(mixes[:1], [0.5])
    assert single.output("x/anna.jpg") == "x/anna.jpg"


def test_the_default_folder_says_what_is_in_it(tree):
    assert plan("in", strengths=[0.5]).folder == Path("in-surprised50")
    assert plan("in", strengths=[0.5, 1]).folder == Path("in-surprised")
    assert plan("in", mixes=[parse_mix("sad"), parse_mix("happy")]).folder == Path("in-expressions")
    assert plan("in", mixes=[Like(Path("a/friend.jpg"), sha256="0" * 64)]).folder == Path("in-like-friend")
    assert plan("in/b.jpg").folder == Path("sargan-surprised")


def test_strengths_that_are_no_different_are_one_and_such_as_are_hardly_are_refused():
    mixes = [parse_mix("happy")]
    assert [variant.ending for variant in make_variants(mixes, [-0.0, 1, 0, 1.0])] == ["-000", "-100"]
    with pytest.raises(UsageError, match="share a name"):
        make_variants(mixes, [0.3, 0.3 + 1e-9])


@pytest.mark.parametrize(
    ("mix", "strengths"),
    [("happy:1.5", [1.5]), ("happy", [2.5]), ("happy", [-1]), ("sad", []), ("sad", [float("nan")])],
)
def test_strengths_stay_in_their_range(mix, strengths):
    with pytest.raises(UsageError, match="strength"):
        make_variants([parse_mix(mix)], strengths)


def test_shards_are_disjoint_and_complete_and_keep_a_photo_when_others_come(tree):
    for number in range(40):
        (tree / "in" / f"{number}.jpg").touch()
    everything = set(outputs(plan("in")))
    parts = [set(outputs(plan("in", shard=Shard(number, 3)))) for number in (1, 2, 3)]
    assert set.union(*parts) == everything
    assert sum(map(len, parts)) == len(everything)
    assert all(len(part) > 5 for part in parts)
    (tree / "in" / "0000.jpg").touch()
    again = [set(outputs(plan("in", shard=Shard(number, 3)))) for number in (1, 2, 3)]
    assert all(part <= later for part, later in zip(parts, again, strict=True))


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/3", "1/3/5", "²/3"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)
    assert parse_shard("2/8") == Shard(2, 8)
