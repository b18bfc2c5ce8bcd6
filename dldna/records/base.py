"""One record: saved, loaded, and where it came from.

A record is one ``.npz`` file without pickle, written atomically, and read
without running anything.
"""

import dataclasses
import importlib
import json
import pkgutil
import platform
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from dldna import __version__
from dldna.arrays import torch_if_imported
from dldna.files import DAMAGED, write_atomic
from dldna.records.shown import shown

FORMAT = 1
ROOMS = (
    "landscape",
    "training",
    "init",
    "model_page",
)  # whose files hold records
_TYPES: dict[str, type["Record"]] = {}


def versions() -> dict[str, str]:
    """Versions of what decides the numbers; torch if it is in use."""
    torch = torch_if_imported()
    return {
        "dldna": __version__,
        "python": platform.python_version(),
        **({"torch": torch.__version__} if torch else {}),
        "numpy": np.__version__,
    }


def _threads() -> int | None:
    torch = torch_if_imported()
    return torch.get_num_threads() if torch else None


def _class(head: dict[str, Any]) -> type["Record"]:
    """The class that a file's header names, imported if it is not yet."""
    name, home = head["type"], str(head.get("module", ""))
    if name not in _TYPES and home.split(".", maxsplit=1)[0] == "dldna":
        with suppress(ImportError):
            importlib.import_module(home)
    if name not in _TYPES and find_spec("torch") is None:
        raise ImportError(
            f"a record of kind {name!r} needs torch; install it with: "
            "pip install torch"
        )
    for room in ROOMS:  # written before headers named their module
        if name in _TYPES:
            break
        package = importlib.import_module(f"dldna.{room}")
        for file in pkgutil.walk_packages(package.__path__, f"dldna.{room}."):
            importlib.import_module(file.name)
    return _TYPES[name]


@dataclass(frozen=True)
class Provenance:
    """Where a result came from.

    What is not known is None, or an empty word; nothing is claimed.

    Args:
        made: what was computed, in a few words.
        seed: the seed, where there was one.
        model: the model's class name.
        n_params: number of its scalar parameters.
        data: name of the data, as far as it is known.
        n_samples: number of samples that were used.
        loss: name of the loss.
        device: where it ran.
        dtype: floating point type of the arithmetic.
        threads: number of torch's CPU threads.
        seconds: wall time of the computation.
        created: when, ISO 8601, UTC.
        versions: of what decides the numbers.
        notes: whatever else a reader should know; JSON values.
    """

    made: str = ""
    seed: int | None = None
    model: str = ""
    n_params: int | None = None
    data: str = ""
    n_samples: int | None = None
    loss: str = ""
    device: str | None = None
    dtype: str | None = None
    threads: int | None = field(default_factory=_threads)
    seconds: float | None = None
    created: str = field(
        default_factory=lambda: time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime()
        )
    )
    versions: dict[str, str] = field(default_factory=versions)
    notes: dict[str, Any] = field(default_factory=dict)

    def derived(self, made: str, **notes) -> Self:
        """Where a result comes from that was computed from this one's.

        Args:
            made: what was computed, in a few words.
            **notes: what else a reader should know; JSON values.

        Returns:
            The same model, data, loss, samples, seed, device and notes;
            ``notes["from"]`` lists what was made before. The seconds are
            not known, and threads and versions are those of now.

        Example:
            >>> plane = Provenance(made="surface", model="LeNet", seed=3)
            >>> found = plane.derived("merge tree")
            >>> found.made, found.model, found.seed, found.notes["from"]
            ('merge tree', 'LeNet', 3, ['surface'])
        """
        now = type(self)()
        before = [*self.notes.get("from", []), *filter(None, [self.made])]
        return dataclasses.replace(
            self,
            made=made,
            seconds=None,
            threads=now.threads,
            created=now.created,
            versions=now.versions,
            notes=self.notes | ({"from": before} if before else {}) | notes,
        )

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """From a file; what it does not say is not known.

        Args:
            fields: by name; unknown ones are left.

        Example:
            >>> Provenance.read({"made": "surface"}).threads is None
            True
        """
        known = {f.name for f in dataclasses.fields(cls)}
        given = {k: v for k, v in fields.items() if k in known}
        return cls(**{"threads": None, "created": "", "versions": {}} | given)


def derived_from(source: Any, made: str, **notes) -> Provenance:
    """The provenance of what was computed from a record, or from numbers.

    Args:
        source: a record or a curve, whose provenance is kept; of anything
            else nothing is known.
        made: what was computed, in a few words.
        **notes: what else a reader should know; JSON values.

    Example:
        >>> derived_from([[1.0, 2.0]], "merge tree").model
        ''
    """
    known = getattr(source, "provenance", None)
    known = known if isinstance(known, Provenance) else Provenance()
    return known.derived(made, **notes)


@dataclass(frozen=True, eq=False)
class Record:
    """Base of all records: saving and loading.

    Fields are arrays, dicts of arrays, numbers, strings, lists of those,
    or None. Subclasses add their fields and register by their name.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _TYPES[cls.__name__] = cls
        if "__repr__" not in vars(cls):  # else a dataclass has its own
            cls.__repr__ = Record.__repr__

    def __repr__(self) -> str:
        values = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self)
        }
        source = values.pop("provenance", None)
        words = [f"{name}={shown(value)}" for name, value in values.items()]
        if isinstance(source, Provenance):
            about = " of ".join(filter(None, [source.made, source.model]))
            words.append(f"provenance=<{about or 'not known'}>")
        return f"{type(self).__name__}({', '.join(words)})"

    # names that fields had in earlier files
    FORMER: ClassVar[dict[str, str]] = {}

    @classmethod
    def renamed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fields of an earlier file, by the names that they have now."""
        return {cls.FORMER.get(k, k): v for k, v in values.items()}

    def save(self, path: str | Path) -> Path:
        """Write to ``path`` (``.npz``), atomically.

        Returns:
            The path written.
        """
        arrays, plain = {}, {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                arrays[f.name] = value
            elif isinstance(value, dict) and any(
                isinstance(v, np.ndarray) for v in value.values()
            ):
                for key, item in value.items():
                    arrays[f"{f.name}/{key}"] = np.asarray(item)
            elif isinstance(value, Provenance):
                plain[f.name] = dataclasses.asdict(value)
            else:
                plain[f.name] = value
        kind = type(self)
        head = {
            "type": kind.__name__,
            "module": kind.__module__,
            "format": FORMAT,
        }
        text = json.dumps({**head, "fields": plain}, default=_plain)
        arrays["__record__"] = np.frombuffer(text.encode(), dtype=np.uint8)
        path = Path(path)
        if path.suffix != ".npz":
            path = path.with_name(path.name + ".npz")
        return write_atomic(path, lambda f: np.savez_compressed(f, **arrays))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a record; nothing in the file is executed.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or holds another kind of record.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"no record at {path}")
        try:
            with path.open("rb") as raw, np.load(raw) as file:
                _check_size(file)
                arrays = {k: file[k] for k in file.files}
            head = json.loads(arrays.pop("__record__").tobytes().decode())
            found, values = _class(head), head["fields"]
        except DAMAGED as error:
            raise ValueError(
                f"{path} is damaged or is not a record of dldna ({error})"
            ) from error
        if not issubclass(found, cls):
            raise ValueError(
                f"{path} holds a {found.__name__}, not a {cls.__name__}"
            )
        try:
            return found(**_values(found, values, arrays))
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{path} is damaged or is not a record of dldna ({error})"
            ) from error


def _values(found: type, values: dict, arrays: dict) -> dict[str, Any]:
    """A record's fields, out of its head and its arrays."""
    for key, array in arrays.items():
        name, _, inner = key.partition("/")
        if inner:
            values.setdefault(name, {})[inner] = array
        else:
            values[name] = array
    if "provenance" in values:
        values["provenance"] = Provenance.read(values["provenance"])
    values = found.renamed(values)
    known = {f.name for f in dataclasses.fields(found)}
    return {k: v for k, v in values.items() if k in known}


MOST_BYTES = 2**32  # in memory; 40 grids of 3,600 x 3,600 points


def _check_size(file: Any) -> None:
    """Refuse small files that would fill the memory.

    Raises:
        ValueError: the arrays claim more than ``MOST_BYTES``.
    """
    total = sum(member.file_size for member in file.zip.infolist())
    if total > MOST_BYTES:
        raise ValueError(f"its arrays claim {total} bytes")


def _plain(value: Any) -> Any:
    torch = torch_if_imported()
    if isinstance(value, (np.generic, torch.Tensor) if torch else np.generic):
        return value.item()
    words = (Path, torch.dtype, torch.device) if torch else Path
    if isinstance(value, words):
        return str(value)
    raise TypeError(f"a record cannot hold {type(value).__name__}")
