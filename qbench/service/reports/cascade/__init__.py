"""A cheap system first, a dear one where it seems unsure."""
