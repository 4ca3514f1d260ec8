"""The node between an archive and a viewer that others wrote, as processes on this machine: Orthanc, nginx with OHIF, the node."""
