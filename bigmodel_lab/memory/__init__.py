"""What happens to a card's memory: requests, CUDA's caching allocator, cards, snapshots.

Plain integers throughout: importing any of it needs no PyTorch. Only tracing a step does.
"""
