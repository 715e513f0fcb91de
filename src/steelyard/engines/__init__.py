"""What an engine is: its dialect, its metric names, its batching model, its measured profile."""
