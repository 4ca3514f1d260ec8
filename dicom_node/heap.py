"""What a process that lives for years holds: set aside what stays, so that the rest is collected early and fast."""

import gc


def settle() -> None:
    """Free what nobody holds, then set aside what is left from the interpreter's collections.

    Rings of objects, such as the catalog's statements and data sets are, are freed by a full collection alone. That one
    waits until a quarter as many objects have come as there are old ones, which is after hundreds of series where the
    standard's tables are read, and then looks at all of them. What was set aside before is looked at again, which takes
    some tenths of a second.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class HeapStep:
    """`settle`, now and again: what stays is not all there from the beginning."""

    def run_once(self) -> bool:
        """Settle."""
        settle()
        return False  # nobody's work comes of it
