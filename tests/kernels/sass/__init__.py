"""Kernels as the machine code (SASS) that ptxas makes of them, read by nvdisasm."""
