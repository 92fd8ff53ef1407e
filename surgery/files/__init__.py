"""Files and folders: written whole, hashed, fetched, named by a person."""
