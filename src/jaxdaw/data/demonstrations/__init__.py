"""Demonstrations: recorded episodes, read from many kinds of files, checked, written and repaired."""
