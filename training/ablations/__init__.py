"""Experiments behind entries of DECISIONS.md; each is a command of its own."""
