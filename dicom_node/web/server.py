"""The web server, in a thread of the node's process."""

import socket
import threading
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI

from dicom_node.config.settings import WebTls
from dicom_node.errors import NodeError
from dicom_node.web.patience import impatient

_STOP_SECONDS = 5.0
#: Connections at once; the answer to any more is 503. Each takes a descriptor of the node's own process.
_MOST_CONNECTIONS = 384


class WebServer:
    """Serves an application on one address until stopped.

    Parameters
    ----------
    port
        0 takes any free one; `port` then says which.
    tls
        Serve https, not http.
    trusted_proxies
        Whose word about who asks, and how, is believed.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str,
        port: int,
        tls: WebTls | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        self._host = host
        self._port = port
        self._config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=impatient(),
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=2,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
            # Not uvicorn's own default, which believes whoever is on this machine.
            forwarded_allow_ips=list(trusted_proxies),
        )
        self._server = uvicorn.Server(self._config)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port if self._socket is None else int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Listen; raises `NodeError` (``cannot_serve``, ``cannot_serve_tls``) if that cannot be."""
        try:
            self._config.load()
        except (OSError, ValueError) as error:  # an `ssl.SSLError` is an `OSError`
            raise NodeError(
                "cannot_serve_tls",
                f"The certificate and key of web.tls cannot be used: {error}.",
                "Check that both are PEM files that belong together and that the node's user can read.",
            ) from error
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Bound here rather than by uvicorn, which would end the process if the port is taken.
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self._host, self._port))
            self._socket.listen()  # who comes before uvicorn is there waits
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
