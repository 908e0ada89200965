"""What runs inside a job. The only place that imports torch; it reads the job folder and nothing else."""
