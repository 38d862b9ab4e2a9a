"""The metadata server's forms: text and JSON of the same values."""

from fogbank.servers.metadata_tree import (
    JsonText,
    Number,
    Rows,
    Tree,
    Verbatim,
    find,
    flat,
    text_of,
    value_of,
)

TREE: Tree = {
    "attributes": Verbatim({"enable-oslogin": "FALSE", "user_key": "x"}),
    "id": Number(17),
    "network-interfaces": Rows({"0": {"dns-servers": ("169.254.169.254",), "ip": "10.0.0.2"}}),
    "tags": JsonText(("web", "db")),
}


def test_json_has_camel_case_lists_and_numbers_but_keeps_what_users_named() -> None:
    assert value_of(TREE) == {
        "attributes": {"enable-oslogin": "FALSE", "user_key": "x"},
        "id": 17,
        "networkInterfaces": [{"dnsServers": ["169.254.169.254"], "ip": "10.0.0.2"}],
        "tags": ["web", "db"],
    }


def test_text_has_a_line_for_each_value_and_tags_are_json_even_there() -> None:
    assert flat(TREE) == (
        "attributes/enable-oslogin FALSE\n"
        "attributes/user_key x\n"
        "id 17\n"
        "network-interfaces/0/dns-servers 169.254.169.254\n"
        "network-interfaces/0/ip 10.0.0.2\n"
        'tags ["web","db"]\n'
    )
    assert text_of(JsonText(())) == "[]"


def test_paths_name_rows_by_their_numbers() -> None:
    assert find(TREE, "network-interfaces/0/ip") == "10.0.0.2"
    assert find(TREE, "network-interfaces/1/ip") is None
    assert find(TREE, "id/more") is None
