"""Pages, plots and tables. They take plain results and do not depend on how these were computed."""
