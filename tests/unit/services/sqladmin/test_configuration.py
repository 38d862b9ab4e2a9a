"""What a PostgreSQL server is told: text that stays what it is, and work that can be done twice."""

from hypothesis import given
from hypothesis import strategies as st

from fogbank.services.sqladmin.controller.configuration import literal, quoted, statements

EMPTY: frozenset[str] = frozenset()


def unquoted(text: str, mark: str) -> str:
    """Read a quoted word as PostgreSQL does; AssertionError when it ends before its end."""
    assert text[0] == text[-1] == mark
    inner = text[1:-1]
    assert mark not in inner.replace(mark * 2, "")
    return inner.replace(mark * 2, mark)


@given(st.text())
def test_whatever_a_password_is_it_ends_where_it_ends(text):
    assert unquoted(literal(text), "'") == text
    assert unquoted(quoted(text), '"') == text


def test_work_that_is_done_is_not_done_again():
    work = {"do": "create database", "name": "app"}
    assert list(statements(work, frozenset({"app"}), EMPTY)) == []
    assert list(statements(work | {"do": "drop database"}, EMPTY, EMPTY)) == []
    assert list(statements({"do": "drop user", "name": "bob"}, frozenset({"app"}), EMPTY)) == []


def test_a_user_that_is_there_is_changed():
    work = {"do": "create user", "name": "bob", "password": "p"}
    (database, made), _ = statements(work, EMPTY, EMPTY)
    (_, again), _ = statements(work, EMPTY, frozenset({"bob"}))
    assert (database, made.split()[0], again.split()[0]) == ("postgres", "CREATE", "ALTER")


def test_a_user_who_goes_leaves_what_he_owns_in_every_database():
    told = list(statements({"do": "drop user", "name": "bob"}, frozenset({"a", "b"}), frozenset({"bob"})))
    assert [database for database, _ in told] == ["a", "a", "b", "b", "postgres"]
