"""Suites over MCP servers of the user's, declared in one YAML file."""
