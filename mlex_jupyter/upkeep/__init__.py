"""A home kept well: what is wrong with it, and a broken database made anew."""
