"""``python -m dicom_node`` is ``s2ldm-node``."""

from dicom_node.cli import main

if __name__ == "__main__":
    main()
