"""What ``benchmarks/gpu/paths.py`` runs: the code of the library that runs on a CUDA device only, a family of paths a file."""
