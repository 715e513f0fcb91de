"""One planning round: queue, cluster and time in, a plan out."""
