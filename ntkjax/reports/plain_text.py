"""Text from users' files, made fit to be looked at; it may hold anything."""

import re


# Control characters but tab and line feed; marks that turn the direction of writing;
# halves of characters and code points that are no characters.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """The text with characters that act unseen written out, as `⟨U+202E⟩`.

    They could steer a terminal, reverse what stands next to them or break a page. Line
    ends of all systems become line feeds.
    """
    lines = re.sub("\r\n?", "\n", text)
    return UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", lines)


def excerpt(text: str, limit: int) -> tuple[str, int]:
    """The first `limit` characters and the number of those left out."""
    return text[:limit], max(0, len(text) - limit)


def one_line(text: str, limit: int) -> str:
    """The text on one line, at most `limit` characters of whole words."""
    # A few times the limit is enough to read, however long the text.
    line = " ".join(text[: 4 * limit].split())
    is_whole = len(line) <= limit and len(text) <= 4 * limit
    if is_whole:
        return line
    cut = line[: limit + 1]
    return f"{cut.rpartition(' ')[0] or cut[:limit]} …"
