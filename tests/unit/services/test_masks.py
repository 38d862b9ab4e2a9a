"""Masks that name a part of a field."""

from hypothesis import given
from hypothesis import strategies as st
from tests.worlds import NOW

from fogbank.services.contract import Call
from fogbank.services.masks import mask_paths, with_whole_fields

leaves = st.integers(0, 9)
objects = st.dictionaries(st.sampled_from("abc"), leaves | st.dictionaries(st.sampled_from("abc"), leaves))
paths = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), max_size=4)


def call(body, mask):
    return Call("x.v1.things.patch", {"updateMask": ",".join(mask)}, body, "me@example.com", NOW, lambda: 1)


def at(value, path):
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


@given(objects, objects, paths)
def test_what_a_mask_names_comes_from_the_body_and_the_rest_of_the_field_stays(current, body, mask):
    asked = with_whole_fields(call(body, mask), current)
    changed = mask_paths(asked)
    assert set(changed) == {path.partition(".")[0] for path in mask}
    for path in mask:
        assert at(asked.body, path.split(".")) == at(body, path.split("."))
    for first in set(changed) - set(mask):
        for second in "abc":
            if not any(f"{path}.".startswith(f"{first}.{second}.") for path in mask):
                assert at(asked.body, [first, second]) == at(current, [first, second])


def test_a_mask_of_whole_fields_leaves_the_call_as_it_is():
    asked = call({"a": 1}, ["a"])
    assert with_whole_fields(asked, {"a": 2}) is asked
