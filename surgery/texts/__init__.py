"""Labelled texts: read from anyone's table, split for training and test."""
