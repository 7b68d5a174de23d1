"""Results in the files of other tools: NWB, MATLAB, pynapple, CSV, ayna, and the Neural Latents Benchmark."""
