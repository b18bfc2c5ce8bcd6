"""One page on a model: what was measured, and how far it can be trusted.

:func:`page`, which is also ``dldna.page``, measures a model with its loss on
data within a budget of seconds and writes one file that any browser opens:
losses with their sampling error, curvature with its residuals, planes and
lines over several directions, sharpness beside a twin that computes the same
function, and what a series of checkpoints gives away. Each figure carries a
sentence that it supports and one that it does not. The words on a single
record stay with that record (``Surface.report``).
"""

from dldna.model_page.findings import Findings, SampleLosses, Series
from dldna.model_page.write_page import page

__all__ = ["Findings", "SampleLosses", "Series", "page"]
