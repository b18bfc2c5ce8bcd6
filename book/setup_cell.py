# @title Set-up (run this first)
# Finds dldna, or installs it from its repository: the package of the same
# name on the public index, version 0.1, is another one.
import importlib
import subprocess
import sys

SOURCE = "dldna[colab] @ git+https://github.com/dldna/dldna"
try:
    import dldna
except Exception:  # not there, or another dldna that is broken
    dldna = None
if dldna is None or int(dldna.__version__.split(".")[0]) < 1:
    pip = [sys.executable, "-m", "pip", "install", "-q", SOURCE]
    subprocess.run(pip, check=True)
    for name in [m for m in sys.modules if m.split(".")[0] == "dldna"]:
        del sys.modules[name]
    importlib.invalidate_caches()
import dldna.book  # the page's clock starts here
