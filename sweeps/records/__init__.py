"""What a run leaves: records, samples and chains, and how they are found again."""
