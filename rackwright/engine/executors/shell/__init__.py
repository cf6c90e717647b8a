"""The shell side of a step: the scripts that carry it out, and the seam they run through."""
