"""Backbone, neck and heads on feature maps indexed by level (level i has stride 2^i)."""
