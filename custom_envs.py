"""rl-zoo3 imports a module of this name from the working directory, which is its only hook before it reads its arguments.

With it `python -m rl_zoo3.train --algo empo --env EMPO-Grid-v0 --conf-file zoo_configs/empo.yml` works from a checkout, a
misspelt key of the zoo file is an error that names it, and neither zoo files nor arguments are evaluated. The environment
variable EMPO_ALLOW_IMPORTS names modules of yours whose classes a zoo file may name.
"""

import sys

from empo_sb3.zoo import allowed_modules, check, register
from empo_sb3.zoo.door import guard

register()
guard(allowed_modules())
check(sys.argv[1:], allowed_modules())
