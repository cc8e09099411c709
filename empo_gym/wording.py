"""What error messages share."""

from __future__ import annotations

_LONGEST = 80


def shown(value: object) -> str:
    """Return what somebody wrote, as Python writes it, on one line and cut to what fits into a sentence."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a number of more digits than Python writes, or somebody's own repr
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
