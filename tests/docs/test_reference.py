"""The reference says what the code says."""

from __future__ import annotations

from tools.reference.__main__ import BY_HAND, REFERENCE, pages


def test_the_reference_is_what_the_code_says_now() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md") if path.name not in BY_HAND}
    made = pages()
    stale = sorted(name for name in {*written, *made} if written.get(name) != made.get(name))
    assert stale == [], "run: python -m tools.reference"
