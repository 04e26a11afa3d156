"""A gallery of cells: static pages that open offline."""
