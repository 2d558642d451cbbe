import pytest

from gcnpose.keypoints.names import printable, safe_name


@pytest.mark.parametrize("name", ["0", "person-7", "a.b_c", "Walking1"])
def test_plain_names_stay(name: str) -> None:
    assert safe_name(name) == name
    assert printable(name) == name


HOSTILE = (
    *("../../etc/passwd", "/abs", "a/b", "a\\b", "", ".", "..", "con", "NUL.txt", "<script>", "a\0b", "é"),
    *("\ud800", "a\nb", "-rf", " ", "x" * 300),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_harmless_ones(name: str) -> None:
    safe = safe_name(name)
    assert safe and set(safe) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
    assert safe[0] not in ".-" and safe[-1] != "." and len(safe) < 80
    assert safe.split(".")[0].lower() not in ("con", "nul")


def test_different_names_stay_different() -> None:
    names = ["a/b", "a_b", "a\\b", "a b", "x" * 70, "x" * 71, "é", "è"]
    assert len(set(map(safe_name, names))) == len(names)


def test_control_characters_are_shown_escaped() -> None:
    assert printable("a\x1b[2J\n\u202eb") == "a\\x1b[2J\\n\\u202eb"
    assert printable("é") == "é"
    assert len(printable("x" * 10_000)) == 203
