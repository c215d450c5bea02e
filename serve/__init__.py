import experiments  # noqa: F401  # switches off reporting before any library is imported
