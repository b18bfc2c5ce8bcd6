"""The finished pieces of a tournament, kept in a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dldna import files


class FinishedPieces:
    """Finished pieces in a folder, or nowhere."""

    def __init__(self, folder: str | Path | None, settings: dict[str, Any]):
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        path = self.folder / "settings.json"
        settings = json.loads(json.dumps(settings))
        if path.exists():
            there = json.loads(path.read_text())
            for key, value in settings.items():
                if there.get(key) != value:
                    raise ValueError(
                        f"{self.folder} holds a tournament of other "
                        f"settings ({key} differ): give another folder, or "
                        "delete it to start anew"
                    )
        self._write(path, settings)

    def keep(self, key: str, make: Callable[[Path | None], dict[str, Any]]):
        """A piece that is there, or is made now and kept."""
        if self.folder is None:
            return make(None)
        name = "".join(c if c.isalnum() or c in "-+." else "_" for c in key)
        path, unfinished = (
            self.folder / f"{name}.{e}" for e in ("json", "pt")
        )
        if path.exists():
            return json.loads(path.read_text())
        piece = make(unfinished)
        self._write(path, piece)
        unfinished.unlink(missing_ok=True)
        return piece

    @staticmethod
    def _write(path: Path, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        files.write_atomic(path, lambda f: f.write(text))
