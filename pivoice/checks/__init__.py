"""What `pivoice doctor` looks at, a stage of it in each file; doctor.py has them in order."""
