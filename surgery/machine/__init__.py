"""This machine: what memory a process may hold, and which numbers its CPU multiplies slowly."""
