"""From what was typed and composed to validated settings, with one sentence for whatever is wrong."""
