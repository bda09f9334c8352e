"""Memory of mapped files: it is given back to the system once it is no longer read."""

import ctypes
import mmap
import sys
from typing import Any

from datasets import Dataset
from datasets.table import MemoryMappedTable
from numpy.typing import NDArray


def release_pages(*arrays: NDArray[Any]) -> None:
    """Give back the memory of files that are mapped as arrays; they are read again when needed.

    Pages of a mapped file count as memory of this process from the first time that they are read.
    What was freed since and is in no use is given back as well, which the C library does not do.
    """
    for array in arrays:
        owner: Any = array
        while owner is not None and not hasattr(owner, "_mmap"):
            owner = getattr(owner, "base", None)
        if owner is not None and hasattr(mmap, "MADV_DONTNEED"):
            owner._mmap.madvise(mmap.MADV_DONTNEED)
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):  # glibc
        ctypes.CDLL(None).malloc_trim(0)


def release_table(examples: Dataset) -> None:
    """Give back the memory of a table that is mapped; see `release_pages`."""
    if not isinstance(examples.data, MemoryMappedTable) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    chunks = (chunk for column in examples.data.columns for chunk in column.chunks)
    for buffer in (buffer for chunk in chunks for buffer in chunk.buffers() if buffer):
        first = -(-buffer.address // mmap.PAGESIZE) * mmap.PAGESIZE  # of the pages inside
        size = max(0, buffer.address + buffer.size - first)
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), mmap.MADV_DONTNEED)
