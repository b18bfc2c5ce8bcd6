"""The execution cache, renewed when the package changes.

MyST-NB keys its cache by a notebook's code cells alone, so that an edit of
``dldna/`` would leave old outputs in the pages. The cache therefore lives
in a folder named by a hash of all that an output can depend on.
"""

import hashlib
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from sphinx.util import logging

logger = logging.getLogger(__name__)
KEPT = 3  # caches of earlier states that stay, to switch back cheaply


def fingerprint(root: Path) -> str:
    """A hash of the package, the requirements and what the kernel sees."""
    digest = hashlib.sha256()
    package = sorted(
        path
        for path in (root / "dldna").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    for path in [*package, root / "requirements.txt"]:
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    digest.update(os.environ.get("DLDNA_SCALE", "").encode())
    return digest.hexdigest()[:16]


def prepare(app, config) -> None:
    root = Path(app.srcdir)
    caches = root / "_build" / ".jupyter_cache"
    cache = caches / fingerprint(root)
    cache.mkdir(parents=True, exist_ok=True)
    os.utime(cache)
    config.nb_execution_cache_path = str(cache)
    folders = [path for path in caches.iterdir() if path.is_dir()]
    folders.sort(key=lambda path: path.stat().st_mtime)
    for old in folders[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    # Kernels inherit this: still figures come for dark pages and phones,
    # too; plotly hands over the figure, not a web page;
    # no bars, whose widgets would stay in the page; and nobody's own
    # IPython settings change what a chapter does.
    os.environ["DLDNA_BOOK"] = "1"
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"
    os.environ["DLDNA_PROGRESS"] = "0"
    os.environ["IPYTHONDIR"] = str(ipython_folder(root / "_build"))


def run_ahead(app, env, docnames) -> None:
    """Run the chapters that the cache lacks, several at a time.

    MyST-NB would run one after the other, each on one thread. What fails
    here is left to it: it tries again, and says what is wrong.
    """
    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    waiting = []
    for name in docnames:
        path = Path(env.doc2path(name))
        if path.suffix == ".ipynb":
            try:
                cache.match_cache_notebook(nbformat.read(path, as_version=4))
            except KeyError:
                waiting.append(path)
    waiting.sort(key=lambda path: -path.stat().st_size)  # long ones first
    seconds = app.config.nb_execution_timeout
    at_once = min(4, os.cpu_count() or 1)
    with ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
        running = {pool.submit(run, path, seconds): path for path in waiting}
        for ended in as_completed(running):
            path = running[ended]
            if ended.result() is None:
                continue
            notebook, took = ended.result()
            logger.info("ran %s in %.0f s", path.name, took)
            cache.cache_notebook_bundle(
                CacheBundleIn(
                    nbformat.reads(notebook, as_version=4),
                    str(path),
                    data={"execution_seconds": took},
                ),
                check_validity=False,
                overwrite=True,
            )


def run(path: Path, seconds: int) -> tuple[str, float] | None:
    """A chapter with its outputs, and how long it took; None if it fails."""
    notebook = nbformat.read(path, as_version=4)
    try:
        done = single_nb_execution(
            notebook, str(path.parent), seconds, allow_errors=False
        )
    except Exception:  # a kernel that died, say
        return None
    return None if done.err else (nbformat.writes(notebook), done.time)


# Importing torch makes 300,000 objects that stay. Each search of all of them
# for garbage takes a sixth of a second, so that a chapter does few; young
# objects are searched as before.
COLLECT = "__import__('gc').set_threshold(10_000, 10, 100)"


def ipython_folder(build: Path) -> Path:
    """Settings of our own: only errors of the kernel itself are shown."""
    folder = build / ".ipython"
    profile = folder / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    settings = "c = get_config()\nc.IPKernelApp.log_level = 40\n"
    settings += f"c.IPKernelApp.exec_lines = [{COLLECT!r}]\n"
    (profile / "ipython_kernel_config.py").write_text(settings)
    return folder


def setup(app) -> None:
    app.connect("config-inited", prepare)
    app.connect("env-before-read-docs", run_ahead)
