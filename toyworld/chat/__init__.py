"""The toy world's chat model: requests that are answered or refused, diaries in two moods, and all of the world."""
