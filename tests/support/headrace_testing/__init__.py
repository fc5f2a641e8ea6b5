"""What several tests share: builders, invariants, players of pods, data. Product code never imports it."""
