"""Instruction following as IFEval defines it (arXiv 2311.07911): 25 kinds that code can check."""
