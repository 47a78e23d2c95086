"""What `cfd2gray bench` measures with: paired runs, the machine's own peaks, costs counted from the programs."""
