"""Which listed model a name means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_catalog.resolve import (
    KnownModel,
    ModelIndex,
    bare_name,
    model_key,
    resolve,
)

checked = settings(deadline=None, max_examples=60, database=None)
SHA = "8a62674095b57cd2e3ba8a397c743593c30aba2fc549e7434b93c72beb69d198"
PONY = KnownModel("Pony/random_b.safetensors", SHA[:10], SHA, ("Pony_random_b",))
ROOT = KnownModel("random_a.safetensors", other_names=("random_a",))
DOTTED = KnownModel("xl_1.2.safetensors", other_names=("xl_1.2",))
KNOWN = (ROOT, PONY, DOTTED)


@pytest.mark.parametrize(
    "name",
    [
        "Pony/random_b.safetensors",
        "Pony\\random_b.safetensors",
        "pony/random_B.SafeTensors",
        " Pony/random_b.safetensors ",
        "Pony/random_b.safetensors [8a62674095]",
        "Pony/random_b",
        "Pony_random_b",
        "random_b.safetensors",
        "random_b",
        "8a62674095",
        "8A62674095",
        SHA,
        SHA[:12],
        "moved/renamed.safetensors [8a62674095]",
    ],
)
def test_every_way_to_name_a_model(name):
    assert resolve(name, KNOWN) is PONY


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "[8a62674095]x",
        "nothing",
        "Other/random_b.safetensors",
        "random",
        "random_b.ckpt.safetensors",
        "8a6267",
        "xl_1",
        ".safetensors",
    ],
)
def test_what_means_no_model(name):
    assert resolve(name, KNOWN) is None


def test_hash_alone_in_brackets_is_a_name_as_well():
    assert resolve("[8a62674095]", KNOWN) is PONY


def test_dots_in_names_are_no_extensions():
    assert resolve("xl_1.2", KNOWN) is DOTTED
    assert bare_name("folder/xl_1.2.safetensors") == "xl_1.2"
    assert bare_name("folder\\xl_1.2") == "xl_1.2"
    assert bare_name("a.b.CKPT") == "a.b"


def test_stem_in_two_folders_means_none_and_matches_both():
    twins = (KnownModel("a/x.safetensors"), KnownModel("b/x.safetensors"))
    for name in ("x", "x.safetensors"):
        assert resolve(name, twins) is None
        assert list(ModelIndex(twins).matches(name)) == list(twins)
    assert resolve("b/x", twins) is twins[1]


def test_file_in_the_models_folder_itself_is_what_a_bare_name_means_first():
    inner = KnownModel("Pony/x.safetensors", other_names=("Pony_x",))
    outer = KnownModel("x.safetensors", other_names=("x",))
    for known in ((inner, outer), (outer, inner)):
        assert resolve("x", known) is outer
        assert resolve("x.safetensors", known) is outer


def test_copies_with_the_same_hash_are_the_same():
    copies = (
        KnownModel("a/x.safetensors", "1" * 10, "1" * 64),
        KnownModel("b/x.safetensors", "1" * 10, "1" * 64),
    )
    assert resolve("x", copies) in copies
    assert resolve("1" * 10, copies) in copies
    assert resolve("b/x.safetensors [1111111111]", copies) is copies[1]


def test_names_that_differ_in_case_only_are_told_apart():
    both = (KnownModel("Model.safetensors"), KnownModel("model.safetensors"))
    assert resolve("model.safetensors", both) is both[1]
    assert resolve("Model.safetensors", both) is both[0]
    assert resolve("MODEL.safetensors", both) is None


def test_hash_behind_a_name_decides_between_files():
    old = KnownModel("x.safetensors", "aaaaaaaaaa", "a" * 64)
    new = KnownModel("y.safetensors", "bbbbbbbbbb", "b" * 64)
    assert resolve("x.safetensors [bbbbbbbbbb]", (old, new)) is new, "renamed since"
    assert resolve("x.safetensors [cccccccccc]", (old, new)) is None, "another file"
    assert resolve("x.safetensors [cccccccc]", (old, new)) is old, "a hash of the old kind"
    assert resolve("x.safetensors [cccccccccc]", (KnownModel("x.safetensors"),)) is not None


names = st.text(alphabet="ab/\\.[]1 _X", max_size=12)
models = st.lists(
    st.builds(
        KnownModel,
        names,
        st.sampled_from(["", "a" * 10, "b" * 10]),
        st.sampled_from(["", "a" * 64]),
        st.tuples(names),
    ),
    max_size=5,
)


@checked
@given(names, models)
def test_any_name_means_a_listed_model_or_none(name, known):
    found = resolve(name, known)
    assert found is None or found in known
    assert found is None or found in ModelIndex(known).matches(name)


@checked
@given(names, models, st.randoms())
def test_order_of_the_list_changes_nothing_that_matters(name, known, random):
    found = resolve(name, known)
    random.shuffle(known)
    again = resolve(name, known)
    if found != again:  # then they are copies of one file
        assert found and again
        assert found.sha256 == again.sha256 != ""


@checked
@given(models)
def test_listed_name_means_itself(known):
    for model in known:
        if sum(model_key(m.name) == model_key(model.name) for m in known) == 1 and (
            model_key(model.name) and "[" not in model.name
        ):
            assert resolve(model.name, known) is model
