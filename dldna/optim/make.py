"""Names that stood here before there was one table."""

from dldna.optim.table import OPTIMIZERS, VARIANTS, make

__all__ = ["OPTIMIZERS", "VARIANTS", "make"]
