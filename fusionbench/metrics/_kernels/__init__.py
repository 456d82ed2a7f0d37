"""Compiled CPU kernels of the hot loops. Each has a torch twin beside its caller, which CUDA and masks use.

Written so that LLVM vectorises them: straight inner loops over columns, no calls to scalar mathematics. A module calls no
kernel of another module, as the cache on disk notices a change only in the file of the kernel that was called.
"""
