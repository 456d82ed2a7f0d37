"""Checks on the suite and on plugins: contracts, locked scores, reproduction, and what a method costs."""
