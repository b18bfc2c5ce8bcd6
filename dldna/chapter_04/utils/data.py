"""An import path; the work stands in :mod:`dldna.published.data`."""

from dldna.published.data import get_data_loaders, get_dataset, get_device

__all__ = ["get_data_loaders", "get_dataset", "get_device"]
