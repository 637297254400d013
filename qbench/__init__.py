"""qbench: which model, in which number format, gives a correct answer for the least money."""

__version__ = "0.1.0"
