"""The last step of a series' way: to its destinations, with retries and one answer per instance.

Nothing is imported here: the configuration asks `dicom_node.deliver.destinations` for the kinds it may name, and must
not load the step for that.
"""
