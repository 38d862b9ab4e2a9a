"""Parse a query by recursive descent: AND of ORs of negations, for OR binds closer than AND here.

``a OR NOT b AND NOT c OR d`` is ``(a OR (NOT b)) AND ((NOT c) OR d)``; terms beside one another are an AND
(behaviour/logging.md#query-language).
"""

from fogbank.errors import not_built
from fogbank.services.logging.query.tokens import Token, syntax_error, tokens
from fogbank.services.logging.query.tree import And, Anywhere, Comparison, Function, Node, Not, Operator, Or

DEEPEST = 100
"""How deep parentheses and negations may go."""

FUNCTIONS = frozenset({"log_id", "ip_in_net", "sample", "search", "source"})
UNBUILT = frozenset({"cast", "regexp_extract"})


def parse(query: str) -> Node | None:
    """Parse a query; None for an empty one. Google's 400 when it is malformed."""
    parser = _Parser(query)
    if parser.peek.kind == "end":
        return None
    found = parser.conjunction()
    if parser.peek.kind != "end":
        raise parser.refuse(parser.peek)
    return found


class _Parser:
    def __init__(self, query: str) -> None:
        self._query, self._tokens, self._at, self._depth = query, list(tokens(query)), 0, 0

    @property
    def peek(self) -> Token:
        return self._tokens[self._at]

    def take(self) -> Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def refuse(self, token: Token) -> Exception:
        return syntax_error(self._query, token.at, token.text)

    def _is(self, word: str) -> bool:
        return self.peek.kind == "text" and self.peek.text == word

    def conjunction(self) -> Node:
        parts = [self.disjunction()]
        while self.peek.kind not in {"end", "close", "comma"}:
            if self._is("AND"):
                self.take()
            parts.append(self.disjunction())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def disjunction(self) -> Node:
        parts = [self.negation()]
        while self._is("OR"):
            self.take()
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def negation(self) -> Node:
        if self._is("NOT"):
            self.take()
            return Not(self._deeper())
        token = self.peek
        if token.kind == "text" and token.text.startswith("-"):
            rest = token.text[1:]
            if not rest:
                self.take()
            else:
                self._tokens[self._at] = Token("text", rest, token.at + 1)
            return Not(self._deeper())
        return self.term()

    def _deeper(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.refuse(self.peek)
        inner = self.negation()
        self._depth -= 1
        return inner

    def term(self) -> Node:
        token = self.take()
        if token.kind == "open":
            self._depth += 1
            if self._depth > DEEPEST:
                raise self.refuse(token)
            inner = self.conjunction()
            self._depth -= 1
            self._expect_close()
            return inner
        if token.kind not in {"text", "string"} or token.text in {"AND", "OR"}:
            raise self.refuse(token)
        opened = self.peek.kind == "open" and not self.peek.after_space
        if token.kind == "text" and opened:
            return self._function(token)
        path = self._path(token)
        if self.peek.kind == "operator":
            return self._comparison(token, path, self.take())
        return Anywhere(".".join(path) if token.kind == "text" else token.text)

    def _expect_close(self) -> None:
        token = self.take()
        if token.kind != "close":
            raise self.refuse(token)

    def _path(self, token: Token) -> tuple[str, ...]:
        """Read a path whose segments may be quoted: ``labels."compute.googleapis.com/id"``."""
        path = [token.text] if token.kind == "string" else token.text.split(".")
        while True:
            following = self.peek
            joins = not following.after_space and path and (path[-1] == "" or following.text.startswith("."))
            if following.kind == "string" and joins:
                path[-1] = self.take().text
            elif following.kind == "text" and joins and following.text.startswith("."):
                path += self.take().text[1:].split(".")
            else:
                return tuple(path)

    def _comparison(self, token: Token, path: tuple[str, ...], operator: Token) -> Node:
        if not all(path) or len(path) > DEEPEST:
            raise self.refuse(token)
        written: Operator = operator.text  # type: ignore[assignment]
        if self.peek.kind == "open":
            self.take()
            found = self._choices(path, written)
            self._expect_close()
            return found
        return self._compared(path, written, self.take())

    def _compared(self, path: tuple[str, ...], operator: Operator, value: Token) -> Comparison:
        operates = value.kind == "text" and value.text in {"AND", "OR", "NOT"}
        if operates or value.kind not in {"text", "string"}:
            raise self.refuse(value)
        text = value.text
        if value.kind == "text":
            while (
                self.peek.kind in {"text", "operator"} and not self.peek.after_space and _continues(self.peek)
            ):
                text += self.take().text  # a time without quotes has colons
        return Comparison(path, operator, text, value.kind == "string")

    def _choices(self, path: tuple[str, ...], operator: Operator) -> Node:
        """Read ``(a OR b)`` behind an operator: each value is compared."""
        every = []
        while True:
            some = [self._choice(path, operator)]
            while self._is("OR"):
                self.take()
                some.append(self._choice(path, operator))
            every.append(some[0] if len(some) == 1 else Or(tuple(some)))
            if self._is("AND"):
                self.take()
            elif self.peek.kind not in {"text", "string", "open"}:
                return every[0] if len(every) == 1 else And(tuple(every))

    def _choice(self, path: tuple[str, ...], operator: Operator) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.refuse(self.peek)
        if self._is("NOT"):
            self.take()
            found: Node = Not(self._choice(path, operator))
        elif self.peek.kind == "open":
            self.take()
            found = self._choices(path, operator)
            self._expect_close()
        else:
            found = self._compared(path, operator, self.take())
        self._depth -= 1
        return found

    def _function(self, name: Token) -> Function:
        if name.text.lower() in UNBUILT:
            raise not_built(f"the function {name.text} of filters")
        if name.text.lower() not in FUNCTIONS:
            raise self.refuse(self.peek)
        self.take()
        arguments: list[tuple[str, ...] | str] = []
        while self.peek.kind != "close":
            token = self.take()
            if token.kind == "string":
                arguments.append(token.text)
            elif token.kind == "text":
                arguments.append(self._path(token))
            else:
                raise self.refuse(token)
            if self.peek.kind == "comma":
                self.take()
            elif self.peek.kind != "close":
                raise self.refuse(self.peek)
        self._expect_close()
        return Function(name.text.lower(), tuple(arguments))


def _continues(token: Token) -> bool:
    """Return whether a token belongs to an unquoted value before it: the colons of a time or an address."""
    return token.text == ":" or token.kind == "text"
