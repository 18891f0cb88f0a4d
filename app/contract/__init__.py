"""What the numbers mean: the code that training and serving share.

Imports only the standard library, numpy, tokenizers and pydantic (see tests/test_architecture.py).
"""
