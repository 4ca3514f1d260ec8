"""What the node's own process holds after years of the same work."""

import gc


class MemoryStep:
    """Keeps the interpreter's heap from growing with what has been done.

    The statements of the catalog are rings of objects, which only a full collection frees, and that waits until a quarter
    as many objects have come as there are old ones: with the tables of the standard read, many hundred series. What
    lives as long as the process is set aside (`gc.freeze`), so that collections are early and short; this looks at all
    of it again, which takes some tenths of a second.
    """

    def run_once(self) -> bool:
        """Free what nobody holds, then set aside what is left."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        return False  # nobody's work comes of it
