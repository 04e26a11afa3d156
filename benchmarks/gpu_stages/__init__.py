"""The stages of benchmarks/gpu.py, a file each, and what starts them: driver.py in the parent process, child.py in a stage's own."""
