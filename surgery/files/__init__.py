"""Files and folders: written whole, hashed, fetched, named by a person."""

__all__ = [
    "gguf_file",
    "gguf_place",
    "hashed_file",
    "hub",
    "local_paths",
    "opened_tensors",
    "safetensors_file",
    "saved_files",
    "temporary_folder",
    "text_file",
    "whole_files",
    "whole_folders",
]
