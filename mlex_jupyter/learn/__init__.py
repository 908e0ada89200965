"""What runs inside a job. The only place that imports torch; it reads the job folder and nothing else."""

import os

# Threads that wait shall sleep, not spin: beside other jobs, spinning made a training three times slower. OpenMP
# reads this when torch is first imported, which every module in here does after this line.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
