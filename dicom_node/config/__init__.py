"""The node's configuration: `load_settings` reads it, `Settings` is what it says."""

from dicom_node.config.live import LiveSettings, SettingsSource
from dicom_node.config.loading import (
    config_path,
    default_config_path,
    load_settings,
    parse_settings,
    read_config_text,
    read_settings,
)
from dicom_node.config.peer import Peer
from dicom_node.config.routes import Route, Window
from dicom_node.config.selection import Select
from dicom_node.config.settings import (
    ComputeSettings,
    LogSettings,
    NodeSettings,
    RetentionSettings,
    SeriesSettings,
    Settings,
    WebSettings,
)

__all__ = [
    "ComputeSettings",
    "LiveSettings",
    "LogSettings",
    "NodeSettings",
    "Peer",
    "RetentionSettings",
    "Route",
    "Select",
    "SeriesSettings",
    "Settings",
    "SettingsSource",
    "WebSettings",
    "Window",
    "config_path",
    "default_config_path",
    "load_settings",
    "parse_settings",
    "read_config_text",
    "read_settings",
]
