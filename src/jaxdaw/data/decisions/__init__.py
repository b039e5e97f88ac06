"""Logged decisions: read from many kinds of logs, audited, written, and turned into experience."""
