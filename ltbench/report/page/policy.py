"""What a browser may do on the page: run the one script, use the one style sheet, nothing else."""

from __future__ import annotations

import base64
import hashlib


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy of a page with these two elements' contents.

    Both are let in by their SHA-256, so that no markup that a name brought along could run or
    restyle anything, even if it came through the escaping; pictures are those within the page. The
    page's data is no script (its type is JSON) and needs no hash. ``frame-ancestors`` and
    ``sandbox`` do not work in a page.

    >>> policy("", "")
    "default-src 'none'; script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; \
style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; \
img-src data:; base-uri 'none'; form-action 'none'"
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
