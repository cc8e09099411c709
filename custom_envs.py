"""rl-zoo3 imports a module of this name from the working directory, which is its only hook before it reads its arguments.

With it `python -m rl_zoo3.train --algo empo --env EMPO-Grid-v0 --conf-file zoo_configs/empo.yml` works from a checkout, and a
misspelt key of the zoo file is an error that names it.
"""

import sys

from empo_sb3.zoo import check, register

register()
check(sys.argv[1:])
