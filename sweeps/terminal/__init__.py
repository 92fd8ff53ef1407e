"""What a person sees in the terminal: tables, progress, and how output gets there whole."""
