"""``python -m dldna.cli``, where the script is not on the path."""

import sys

from dldna.cli import main

if __name__ == "__main__":
    sys.exit(main())
