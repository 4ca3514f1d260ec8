"""Sends each new native chest or abdomen CT from Orthanc to the node by itself; runs in Orthanc's Python plug-in.

A thread follows Orthanc's own log of changes. A series is looked at when Orthanc takes it for whole (``StableAge``), by
the tags of one of its images (`native_torso`), and sent to every modality in ``SyntheticPhases.Modalities``, of which each
stands for a target phase. What was sent, and with how many images, is kept as metadata of the series: nothing is sent
twice, over restarts too, but a series that has grown since is sent again, whole, as the node takes an image only once.

A node that does not answer gets the series later, every ``RetrySeconds``, and after a restart of Orthanc as well: how far the
log was followed is kept in a file beside Orthanc's index. What was in the archive before the first start is not sent.

What comes from the node is never sent to it: neither by AE title (of ``NodeAet``) nor by its tags.
"""

import json
import threading
from pathlib import Path
from typing import Any

import orthanc
from native_torso import why_not

_METADATA = "SentForSynthesis"
_PAUSE_SECONDS = 1.0
_PAGE = 500


class Router:
    """Follows the log of changes from where it was, and sends what is to be sent."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        section = configuration["SyntheticPhases"]
        self._modalities: list[str] = section["Modalities"]
        self._node_aet: str = section["NodeAet"]
        self._retry_seconds = float(section.get("RetrySeconds", 10))
        self._cursor_file = Path(configuration["IndexDirectory"]) / "synthesis-routing.json"
        self._followed = self._start()
        #: Series that are not whole yet, or not taken by every modality, and the change that named them first.
        self._open: dict[str, int] = {}
        self._failed = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="synthesis-routing", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End after the series at hand."""
        self._stopping.set()
        self._thread.join()

    def _start(self) -> int:
        if self._cursor_file.exists():
            return int(json.loads(self._cursor_file.read_text())["followed"])
        last = int(_get("/changes?last")["Last"])
        self._keep(last)
        return last

    def _keep(self, followed: int) -> None:
        draft = self._cursor_file.with_suffix(".new")
        draft.write_text(json.dumps({"followed": followed}))
        draft.replace(self._cursor_file)

    def _work(self) -> None:
        while not self._stopping.wait(self._retry_seconds if self._failed else _PAUSE_SECONDS):
            self._failed = False
            try:
                self._follow()
                for series in list(self._open):
                    if self._settled(series):
                        del self._open[series]
                self._keep(min(self._open.values(), default=self._followed + 1) - 1)
            except (orthanc.OrthancException, OSError, ValueError, KeyError) as error:
                self._failed = True
                orthanc.LogError(f"synthesis routing: {type(error).__name__}; tried again in {self._retry_seconds} s")

    def _follow(self) -> None:
        """Note every series that the log names."""
        done = False
        while not done:
            page = _get(f"/changes?since={self._followed}&limit={_PAGE}")
            for change in page["Changes"]:
                if change["ChangeType"] in ("NewSeries", "StableSeries"):
                    self._open.setdefault(change["ID"], int(change["Seq"]))
            self._followed = max(self._followed, int(page["Last"]))
            done = bool(page["Done"])

    def _settled(self, identifier: str) -> bool:
        """Whether there is nothing more to do for a series: deleted, not to be sent, or sent everywhere."""
        try:
            series = _get(f"/series/{identifier}")
        except orthanc.OrthancException:
            return True
        if not series["IsStable"]:
            return False
        refusal = self._why_not(series)
        if refusal is not None:
            orthanc.LogWarning(f"synthesis routing: {identifier} is not sent: {refusal}")
            return True
        count = len(series["Instances"])
        sent = self._sent(identifier)
        for modality in self._modalities:
            if sent.get(modality) == count or self._stopping.is_set():
                continue
            if not self._send(identifier, modality):
                self._failed = True
                continue
            sent[modality] = count
            orthanc.RestApiPut(f"/series/{identifier}/metadata/{_METADATA}", json.dumps(sent).encode())
            orthanc.LogWarning(f"synthesis routing: sent {identifier} with {count} images to {modality}")
        return all(sent.get(modality) == count for modality in self._modalities)

    def _why_not(self, series: dict[str, Any]) -> str | None:
        image = series["Instances"][len(series["Instances"]) // 2]
        if _text(f"/instances/{image}/metadata/RemoteAET") == self._node_aet:
            return "it came from the node"
        return why_not(_get(f"/instances/{image}/tags?short"))

    def _sent(self, identifier: str) -> dict[str, int]:
        """How many images each modality was sent."""
        return dict(json.loads(_text(f"/series/{identifier}/metadata/{_METADATA}") or "{}"))

    def _send(self, identifier: str, modality: str) -> bool:
        order = {"Resources": [identifier], "Synchronous": True}
        try:
            orthanc.RestApiPost(f"/modalities/{modality}/store", json.dumps(order).encode())
        except orthanc.OrthancException:
            orthanc.LogWarning(f"synthesis routing: {modality} did not take {identifier}; tried again later")
            return False
        return True


def _get(path: str) -> Any:
    return json.loads(orthanc.RestApiGet(path))


def _text(path: str) -> str:
    """What stands there; empty where nothing does."""
    try:
        return orthanc.RestApiGet(path).decode()
    except orthanc.OrthancException:
        return ""


_running: list[Router] = []


def _on_change(change: int, _level: int, _resource: str) -> None:
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        _running.append(Router(json.loads(orthanc.GetConfiguration())))
        _running[-1].start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        while _running:
            _running.pop().stop()


orthanc.RegisterOnChangeCallback(_on_change)
