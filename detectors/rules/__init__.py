"""Patterns and word lists as data: tables only, no logic."""
