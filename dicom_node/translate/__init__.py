"""The step that synthesises: an executor turns source series into synthetic HU on disk.

Nothing is imported here: the configuration asks `dicom_node.translate.executors` for the kinds it may name, and must not
load the step for that.
"""
