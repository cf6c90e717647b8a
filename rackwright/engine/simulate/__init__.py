"""The fleet simulator's own parts: machines that do not exist, and what goes wrong with them."""
