"""Filters of projects: v1's lists and v3's searches have one language, which their descriptions tell.

Of terms beside one another any has to hold, but of those about the parent all: with them it is a list of what
is in one place. Case does not matter. gcloud also sends AND, OR, NOT and parentheses.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from fogbank.errors import ApiError
from fogbank.resources.wildcards import wildcard
from fogbank.resources.world import Json

Keep = Callable[[Json], bool]
"""Tells of a project, as v1 shows it, whether it stays."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[()]|(?:AND|OR|NOT)(?=[\s()]))|(?P<field>[\w.-]+)\s*(?P<operator>!=|[=:])\s*"""
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s()"']+)))\s*"""
)
_DEEPEST = 100


def parse_filter(text: str) -> Keep:
    """Read a filter; Google's 400 when it is malformed or names a field that projects do not have."""
    return _Reader(text).whole()


def parent_of(project: Json) -> str | None:
    """Return what a project is in as v3 writes it: ``folders/12``."""
    parent = project.get("parent")
    if not parent:
        return None
    identifier = str(parent["id"])
    return identifier if "/" in identifier else f"{parent['type']}s/{identifier}"


class _Reader:
    """Recursive descent: terms beside one another > OR > AND > NOT > one term or parentheses."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._tokens = list(_tokens(text))
        if sum(token["mark"] in {"(", "NOT"} for token in self._tokens) > _DEEPEST:
            raise _invalid(text)

    def whole(self) -> Keep:
        keep = self._beside() if self._tokens else lambda _project: True
        if self._next() is not None:
            raise _invalid(self._text)
        return keep

    def _next(self) -> re.Match[str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _skip(self, mark: str) -> bool:
        token = self._next()
        found = token is not None and token["mark"] == mark
        self._at += found
        return found

    def _beside(self) -> Keep:
        needed: list[Keep] = []
        enough: list[Keep] = []
        while (token := self._next()) is not None and token["mark"] != ")":
            about_parent = (token["field"] or "").lower().startswith("parent")
            (needed if about_parent else enough).append(self._either())
        return lambda project: (
            all(k(project) for k in needed) and (not enough or any(k(project) for k in enough))
        )

    def _either(self) -> Keep:
        keeps = [self._both()]
        while self._skip("OR"):
            keeps.append(self._both())
        return lambda project: any(k(project) for k in keeps)

    def _both(self) -> Keep:
        keeps = [self._one()]
        while self._skip("AND"):
            keeps.append(self._one())
        return lambda project: all(k(project) for k in keeps)

    def _one(self) -> Keep:
        if self._skip("NOT"):
            inner = self._one()
            return lambda project: not inner(project)
        if self._skip("("):
            inner = self._beside()
            if not self._skip(")"):
                raise _invalid(self._text)
            return inner
        token = self._next()
        if token is None or token["mark"]:
            raise _invalid(self._text)
        self._at += 1
        return _term(token)


def _tokens(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _invalid(text)
        yield found
        at = found.end()


def _term(token: re.Match[str]) -> Keep:
    values, fits = _values(token["field"].lower()), wildcard(token[token.lastgroup or ""].lower())
    wanted = token["operator"] != "!="
    return lambda project: (
        any(each is not None and fits(str(each).lower()) for each in values(project)) == wanted
    )


_FIELDS: Mapping[str, Callable[[Json], object]] = {
    "id": lambda project: project["projectId"],
    "projectid": lambda project: project["projectId"],
    "projectnumber": lambda project: project["projectNumber"],
    "name": lambda project: project.get("name"),
    "displayname": lambda project: project.get("name"),
    "state": lambda project: project["lifecycleState"],
    "lifecyclestate": lambda project: project["lifecycleState"],
    "createtime": lambda project: project["createTime"],
    "parent": parent_of,
    "parent.type": lambda project: (project.get("parent") or {}).get("type"),
    "parent.id": lambda project: (project.get("parent") or {}).get("id"),
}


def _values(field: str) -> Callable[[Json], Iterable[object]]:
    """Return where the values of a field are; ``labels`` stands for all keys and values."""
    if field in _FIELDS:
        return lambda project: (_FIELDS[field](project),)
    name, dot, key = field.partition(".")
    if name != "labels":
        raise ApiError(400, f"Unknown field in the filter: {field}", "INVALID_ARGUMENT", "badRequest")
    if dot:
        return lambda project: ((project.get("labels") or {}).get(key),)
    return lambda project: chain(*(project.get("labels") or {}).items())


def _invalid(text: str) -> ApiError:
    return ApiError(400, f"Invalid filter: '{text}'.", "INVALID_ARGUMENT", "badRequest")
