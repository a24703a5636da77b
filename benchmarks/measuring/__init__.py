"""How the benchmarks measure: workloads, blocks, pairs, a real kernel, records of the machine."""
