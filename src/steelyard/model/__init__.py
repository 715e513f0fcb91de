"""The nouns: plain values with units in their names. Imports nothing of ours."""
