"""steelyard: a load balancer for data centres that train and serve large AI models."""

__version__ = "0.1.0"

__all__ = ["__version__"]
