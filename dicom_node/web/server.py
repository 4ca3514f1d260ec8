"""The web server, in a thread of the node's process."""

import socket
import threading

import uvicorn
from fastapi import FastAPI

from dicom_node.errors import NodeError

_STOP_SECONDS = 5.0


class WebServer:
    """Serves an application on one address until stopped.

    ``port`` 0 takes any free one; `port` then says which.
    """

    def __init__(self, app: FastAPI, *, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
        )
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port if self._socket is None else int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen; raises `NodeError` (``cannot_serve``) if the address cannot be bound."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Bound here rather than by uvicorn, which would end the process if the port is taken.
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self._host, self._port))
        except OSError as error:
            self._socket.close()
            self._socket = None
            raise NodeError(
                "cannot_serve",
                f"The web server cannot listen on {self._host}:{self._port}: {error.strerror or error}.",
                "Stop the other program on that port, or change web.host and web.port.",
            ) from error
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="web", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer what is at hand, then stop."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        if self._socket is not None:
            self._socket.close()
