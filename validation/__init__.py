"""The study on real models: what fetches them, their judges, prompts and configs, and what runs all of it."""
