"""A storage SCP that writes down every instance it accepts: ``python archive.py PORT JOURNAL``.

A process of its own, which no kill reaches. A line is written before 0x0000 is answered, so what the journal lacks was not
accepted; it takes a moment for each instance, as an archive does, or there would be no moment to kill a node in.
"""

import hashlib
import json
import os
import sys
import threading
import time

from pynetdicom import AE, evt
from pynetdicom.presentation import StoragePresentationContexts

STORE_SECONDS = 0.02


def serve(port: int, journal: str) -> None:
    """Listen on 127.0.0.1 until the process is ended."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def store(event: evt.Event) -> int:
        content = event.request.DataSet.getvalue()
        time.sleep(STORE_SECONDS)
        line = {
            "at": time.time(),
            "uid": str(event.request.AffectedSOPInstanceUID),
            "digest": hashlib.sha256(content).hexdigest(),
        }
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        return 0x0000

    entity = AE(ae_title="ARCHIVE")
    entity.supported_contexts = StoragePresentationContexts
    entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    threading.Event().wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
