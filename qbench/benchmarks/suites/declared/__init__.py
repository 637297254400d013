"""Suites that are declared in one YAML file: data that is there already, and how to ask it."""
