"""An LLM engine that only pretends: a server round the batching model."""
