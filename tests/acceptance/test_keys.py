from __future__ import annotations

from tests.acceptance.program import Program


def test_a_key_is_printed_once_alone_on_stdout(qbench: Program) -> None:
    made = qbench("keys", "add", "ci", "--scope", "run", "--budget", "5", "--per-minute", "60")
    assert made.code == 0, made.talk
    secret = made.out.strip()
    assert secret.startswith("qb_")
    assert len(secret) == 46
    assert secret not in made.talk
    listed = qbench("keys", "list")
    assert "$0 of $5.00" in listed.out
    assert secret[:7] in listed.out
    assert secret not in listed.out
    (key,) = qbench("keys", "list", "--json").json["keys"]
    assert (key["scopes"], key["budget"], key["per_minute"]) == (["run"], "5", 60)


def test_a_key_is_revoked_by_name_and_leaves_the_list(qbench: Program) -> None:
    assert qbench("keys", "add", "ci", "--expires", "30d").code == 0
    ended = qbench("keys", "revoke", "ci")
    assert ended.out.rstrip().endswith("is revoked.")
    assert qbench("keys", "list", "--json").json["keys"] == []
    assert len(qbench("keys", "list", "--all", "--json").json["keys"]) == 1
    unknown = qbench("keys", "revoke", "cj")
    assert (unknown.code, "Did you mean ci?" in unknown.talk) == (2, True)


def test_bad_wishes_are_told_in_words(qbench: Program) -> None:
    for option, value in (("--scope", "god"), ("--expires", "soon"), ("--budget", "-1")):
        refused = qbench("keys", "add", "ci", option, value)
        assert (refused.code, refused.out) == (2, "")
        assert "Try:" in refused.talk
    assert "no key yet" in qbench("keys", "revoke", "ci").talk
