"""Java and JavaScript source text as BFCL reads it."""

from __future__ import annotations

from typing import Any

import pytest

from qbench.benchmarks.suites.bfcl.values import read_value, written


@pytest.mark.parametrize(
    ("text", "kind", "inner", "value"),
    [
        ("12", "integer", "", 12),
        ("12.0", "integer", "", "12.0"),
        ("12L", "long", "", 12),
        ("12", "long", "", "12"),
        ("1.5f", "float", "", 1.5),
        ("1.5", "float", "", "1.5"),
        ("1.5e3", "double", "", 1500.0),
        ("true", "boolean", "", True),
        ("True", "boolean", "", "True"),
        ("'a'", "char", "", "'a'"),
        ('"a"', "String", "", '"a"'),
        ("7", "any", "", "7"),
        ("new int[]{1, 2}", "Array", "integer", [1, 2]),
        ('new String[]{"a"}', "Array", "String", ['"a"']),
        ('new ArrayList<>(Arrays.asList("a", "b"))', "ArrayList", "String", ["a", "b"]),
        ("new ArrayList<Long>() {{ add(1L); add(2L); }}", "ArrayList", "long", [1, 2]),
        ("new ArrayList<>()", "ArrayList", "String", []),
        ("names", "ArrayList", "String", "names"),
        (
            'new HashMap<>() {{ put("k", 1.5f); put("l", "x"); }}',
            "HashMap",
            "",
            {"k": 1.5, "l": "x"},
        ),
        ("new HashMap<String, Long>()", "HashMap", "", {}),
        ("settings", "HashMap", "", "settings"),
    ],
)
def test_java_text_means_what_its_declared_type_says(
    text: str, kind: str, inner: str, value: Any
) -> None:
    read = read_value(text, kind, inner, "java")
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "kind", "inner", "value"),
    [
        ("'a'", "String", "", "a"),
        ("a", "String", "", "a"),
        ("12", "integer", "", 12),
        ("12", "float", "", 12.0),
        ("12n", "Bigint", "", 12),
        ("false", "Boolean", "", False),
        ("['a', 'b']", "array", "String", ["a", "b"]),
        ("new Array(1, 2)", "array", "integer", [1, 2]),
        ("[[1, 2], [3, 'x']]", "array", "array", [[1, 2], [3, "x"]]),
        ("[]", "array", "String", []),
        ("names", "array", "String", "names"),
        ("{'a': 1, b: [true]}", "dict", "", {"a": 1, "b": [True]}),
        ("{}", "dict", "", {}),
        ("props", "dict", "", "props"),
        ("x => 1", "any", "", "x => 1"),
    ],
)
def test_javascript_text_means_what_its_declared_type_says(
    text: str, kind: str, inner: str, value: Any
) -> None:
    read = read_value(text, kind, inner, "javascript")
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize("language", ["java", "javascript"])
def test_values_are_written_so_that_one_way_reads_back(language: str) -> None:
    kinds: dict[str, Any] = {
        "java": {
            "integer": 3,
            "long": 3,
            "float": 2.5,
            "double": 2.5,
            "boolean": True,
            "HashMap": {"k": 1},
        },
        "javascript": {
            "integer": 3,
            "float": 2.0,
            "Bigint": 9,
            "Boolean": False,
            "dict": {"k": "v"},
        },
    }[language]
    for kind, value in kinds.items():
        assert value in [
            read_value(text, kind, "", language) for text in written(value, kind, "", language)
        ]
