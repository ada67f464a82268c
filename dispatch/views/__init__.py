"""The pages New and Servers."""
