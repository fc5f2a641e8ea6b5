"""Backbone, neck and heads over feature maps that are indexed by level (level i has stride 2^i)."""
