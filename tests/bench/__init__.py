"""The figures: programs that measure something beside its baseline, in the same run and interleaved with it."""
