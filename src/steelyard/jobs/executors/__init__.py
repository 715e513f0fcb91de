"""What runs tasks: local processes, Ray, Slurm."""
