"""``python -m empo_sb3.zoo SCRIPT ...``, see :mod:`empo_sb3.zoo.command`."""

import sys

from empo_sb3.zoo.command import main

if __name__ == "__main__":
    sys.exit(main())
