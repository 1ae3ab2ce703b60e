"""Pages, plots and tables for people. They take plain results and know nothing of how these were computed."""
