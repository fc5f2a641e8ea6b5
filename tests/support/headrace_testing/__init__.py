"""What several tests share: builders, invariants, simulated pods, data. Product code never imports it."""
