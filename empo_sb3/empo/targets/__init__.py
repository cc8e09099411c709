"""What the networks are trained towards: full expectations or drawn successors, of packed or growing models."""
