"""A program that runs ``s2ldm-node`` with a retention that comes every two seconds instead of every hour.

``python hurried.py /path/of/s2ldm-node serve --config FILE``. Nothing else differs: a campaign cannot wait for an hour.
"""

import sys

RETENTION_SECONDS = 2.0

if __name__ == "__main__":
    from dicom_node.cli import main
    from dicom_node.service import node

    node._RETENTION_SECONDS = RETENTION_SECONDS
    sys.argv = sys.argv[1:]
    main()
