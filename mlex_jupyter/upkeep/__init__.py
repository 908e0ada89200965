"""A home kept well: what is wrong with it, a broken database made anew, and what is not kept for ever."""
