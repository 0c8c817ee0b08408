"""Foreign text as HTML: what a file, a header or a card says is shown, and never acts."""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST = 1000  # characters of one foreign text: a DICOM long string holds 64, a path or a data source more
REPLACEMENT = "\ufffd"  # stands for what cannot be shown: control characters, halves of a surrogate pair
# Cc: controls, Cs: halves of a surrogate pair, which UTF-8 cannot hold, Co, Cn: without a meaning
UNSHOWABLE = ("Cc", "Cs", "Co", "Cn")


def plain(text: object) -> str:
    """Any text on one line, no longer than LONGEST, of characters that can be shown. Not yet HTML."""
    kept = "".join(REPLACEMENT if unicodedata.category(one) in UNSHOWABLE else one for one in str(text).strip())
    return kept if len(kept) <= LONGEST else f"{kept[: LONGEST - 1]}\u2026"


def shown(text: object) -> str:
    """Any text as HTML that shows it, apart from what surrounds it: <bdi> keeps right-to-left text in."""
    return f"<bdi>{html.escape(plain(text))}</bdi>"


def as_script_json(value: Any) -> str:
    """JSON that can stand in a <script>: nothing in it ends the element or opens a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names (plain text) and values (HTML)."""
    body = "".join(f'<tr><th scope="row">{html.escape(name)}</th><td>{value}</td></tr>' for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str) -> str:
    """A table with heads (plain text) over rows of HTML, the first of each its name. kind: the CSS class."""
    top = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def listed(lines: Iterable[str]) -> str:
    """Lines of foreign text as a list, each once; "" for none."""
    items = "".join(f"<li>{shown(line)}</li>" for line in dict.fromkeys(lines))
    return f"<ul>{items}</ul>" if items else ""
