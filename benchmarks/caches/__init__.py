"""Balancers before a fleet of real caches: `python -m benchmarks.caches --help`.

Every cache is an nginx process with a store of its own (`steelyard.demo.caches`), all before one
origin; every run begins with empty caches. The same stream of keys, drawn with the same seed, goes through
each balancer in turn over real sockets, closed loop: a fixed number of clients that each send their next
request when the last is answered. The first half of a stream fills the caches, the second is measured.

- *hit share*: answers that say `X-Cache: HIT`.
- *busiest*: requests that the busiest cache answered, over the mean of all caches; *keys, busiest*: the same
  of the keys that lead there when nothing else is asked.
- *moved*: every key is asked for once with `X-Probe` (no cache's store sees it) before and after a cache
  leaves or joins; the share that leads elsewhere, and of it the part that neither left nor came to the cache
  that changed. The least that can move is what the leaver had, or what the newcomer should get.
- *hits after*: hit share of the stream's first eighth, asked for again after the change; the balancer
  is started anew with its changed configuration, the caches are not.

The reference is one LRU cache as large as all together, which no fleet with the same room can beat by much.

The clients together ask for more than a busy cache can do, which is where a bound matters and where it costs
most: what is sent past a full home is a miss there first.
"""
