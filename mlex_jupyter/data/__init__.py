"""Where volumes come from: readers, the sample, and small pictures of both."""
