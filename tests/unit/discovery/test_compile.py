"""The tables are what the compiler makes of the documents."""

from fogbank.discovery.compile import compile_method, compile_schema, expand_path


def test_a_schema_keeps_types_and_loses_words():
    schema = {
        "type": "object",
        "description": "long",
        "properties": {
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "kind": {"type": "string", "default": "compute#thing"},
            "state": {"type": "string", "enum": ["A", "B"], "enumDescriptions": ["", ""]},
            "id": {"type": "string", "format": "uint64"},
            "parts": {"type": "array", "items": {"$ref": "Part"}},
        },
    }
    assert compile_schema(schema) == {
        "id": "uint64",
        "kind": {"=": "compute#thing"},
        "labels": {"*": "string"},
        "parts": ["#Part"],
        "state": {"|": ["A", "B"]},
    }


def test_a_path_says_what_each_parameter_spans():
    parameters = {"name": {"pattern": "^projects/[^/]+/locations/global$"}, "rest": {"pattern": "^x/.*$"}}
    assert expand_path("v1/{+name}:wait", parameters) == "v1/{name=projects/*/locations/global}:wait"
    assert expand_path("v1/{+rest}", parameters) == "v1/{rest=x/**}"
    assert expand_path("p/{project}/r", {"project": {}}) == "p/{project=*}/r"


def test_a_method_keeps_the_types_of_its_query():
    method = {
        "id": "x.things.list",
        "httpMethod": "GET",
        "path": "things",
        "parameters": {
            "pageSize": {"location": "query", "type": "integer", "format": "int32"},
            "views": {"location": "query", "type": "string", "repeated": True},
            "key": {"location": "query", "type": "string", "required": True},
        },
        "response": {"$ref": "Things"},
    }
    assert compile_method(method, "x", "x/v1/") == [
        "things.list", "GET", "x/v1/things",
        {"key": "string!", "pageSize": "int32", "views": "string*"}, "", "Things",
    ]  # fmt: skip
