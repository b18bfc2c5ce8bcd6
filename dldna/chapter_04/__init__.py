"""Import paths of the published chapter 4, kept for existing notebooks.

Which path leads where is one table, in :mod:`dldna.old_paths`; the work stands
in :mod:`dldna.published`.
"""
