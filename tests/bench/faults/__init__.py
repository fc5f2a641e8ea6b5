"""What a trainer does when things go wrong: faults, what each may lead to, and what must hold afterwards."""
