"""Pages, plots and tables. They take plain results and do not depend on how the results were computed."""
