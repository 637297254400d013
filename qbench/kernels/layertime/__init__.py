"""Layer time: from the seconds of kernels to the seconds of a served token. Needs no torch."""
