"""Import paths of the published chapter 4, kept for existing notebooks.

The work stands in :mod:`dldna.published`.
"""
