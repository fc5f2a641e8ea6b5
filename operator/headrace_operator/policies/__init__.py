"""The rules that `decide` combines, one per file: each looks at the situation and returns a decision."""
