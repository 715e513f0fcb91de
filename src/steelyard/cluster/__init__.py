"""What is known now: the fleet, what is in flight on it, who is a member."""
