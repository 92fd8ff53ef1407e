"""From one cell to many: plans, records, tracking, tables and the two commands."""
