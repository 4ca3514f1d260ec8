"""The node's configuration: `load_settings` reads it, `Settings` is what it says."""

from dicom_node.config.loading import default_config_path, load_settings, parse_settings
from dicom_node.config.selection import Select
from dicom_node.config.settings import (
    ComputeSettings,
    LogSettings,
    NodeSettings,
    Peer,
    RetentionSettings,
    Route,
    SeriesSettings,
    Settings,
    WebSettings,
    Window,
)

__all__ = [
    "ComputeSettings",
    "LogSettings",
    "NodeSettings",
    "Peer",
    "RetentionSettings",
    "Route",
    "Select",
    "SeriesSettings",
    "Settings",
    "WebSettings",
    "Window",
    "default_config_path",
    "load_settings",
    "parse_settings",
]
