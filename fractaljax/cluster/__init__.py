"""Many machines: tiles, parts and batches as tasks of Dask distributed (extra `cluster`).

`connect` makes or joins a cluster, `deal` hands pieces of work out and takes their receipts,
`fitness` says which workers may help, `shared` looks for what they wrote, `tiles` is a scan. What a
piece is, its family says.

Whoever reaches a scheduler can run code on its machines: everything listens on the loopback
address unless somebody starts a scheduler elsewhere, and then TLS belongs before it.
"""

from fractaljax.cluster.address import Cluster
from fractaljax.cluster.connect import Team, connected
from fractaljax.cluster.deal import Busy, Piece, ask, deal
from fractaljax.cluster.fitness import check_backend

__all__ = ["Busy", "Cluster", "Piece", "Team", "ask", "check_backend", "connected", "deal"]
