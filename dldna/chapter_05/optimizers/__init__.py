"""Import paths of the published chapter 5, kept for existing notebooks.

The work stands in :mod:`dldna.published`.
"""
