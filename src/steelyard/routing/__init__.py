"""One request: eligible, admitted, picked, retried or not."""
