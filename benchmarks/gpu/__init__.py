"""What is measured on a machine with a GPU, and compared with what was predicted without one."""
