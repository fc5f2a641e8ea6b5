"""The rules that `decide` puts together, one to a file: each looks at the situation and answers with a decision."""
