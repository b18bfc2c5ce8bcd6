"""Which points are evaluated, in what order, by whom, kept where."""
