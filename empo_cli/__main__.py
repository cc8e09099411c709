"""``python -m empo_cli`` is ``empo``."""

import sys

from empo_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
