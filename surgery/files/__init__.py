"""Files and folders: written whole, hashed, fetched, named by a person."""

__all__ = [
    "gguf_file",
    "gguf_place",
    "hashed_file",
    "hub",
    "local_paths",
    "safetensors_file",
    "saved_files",
    "temporary_folder",
    "tensor_file",
    "text_file",
    "whole_files",
    "whole_folders",
]
