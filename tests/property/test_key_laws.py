from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qbench.service.keys import HINT, SHAPE, digest_of, draw
from qbench.service.redaction import MASK, redact

SECRETS = st.builds(draw)
PLAIN = st.text("ab01- ", max_size=9)


@given(SECRETS)
def test_what_is_kept_of_a_key_never_holds_the_key(secret: str) -> None:
    digest = digest_of(secret)
    assert SHAPE.fullmatch(secret)
    assert len(digest) == 64
    assert secret not in digest
    assert digest not in secret
    assert secret[len("qb_") :] not in digest + secret[:HINT]


@given(SECRETS, SECRETS)
def test_two_draws_differ_and_so_do_their_digests(one: str, other: str) -> None:
    assert one != other
    assert digest_of(one) != digest_of(other)


@given(st.text("abc :/@\n{}\"'", max_size=40), SECRETS, st.text(" ,.;:\"'\n)}", max_size=10))
def test_no_text_around_a_key_hides_it_from_redaction(before: str, key: str, after: str) -> None:
    shown = redact(f"{before} {key}{after}", ())
    assert key not in shown
    assert MASK in shown


@given(PLAIN, st.lists(st.text("ab01-", min_size=8, max_size=12), min_size=1, max_size=4))
def test_no_secret_survives_redaction(between: str, secrets: list[str]) -> None:
    ordered = sorted(secrets, key=len, reverse=True)
    shown = redact(between.join(["", *secrets, ""]), ordered)
    assert not any(secret in shown for secret in secrets)
