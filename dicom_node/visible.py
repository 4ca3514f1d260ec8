"""Text of others, shown where characters that nobody sees would do something."""

import unicodedata


def visible(text: str) -> str:
    """Text in which what is no letter, mark, digit, sign, space, tab or new line is written as its escape.

    Names and comments come from the network (AE titles and the like, PS3.5 6.2). In a terminal a control character among
    them moves the cursor, clears the screen or makes it type; others turn the direction of what follows.
    """
    return "".join(one if one in "\n\t" or one.isprintable() or _is_space(one) else _escape(one) for one in text)


def _is_space(one: str) -> bool:
    return unicodedata.category(one) == "Zs"


def _escape(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
