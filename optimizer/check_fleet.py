"""The independent check of a fleet: every bucket served, no replica overloaded, chips in stock and in nodes.

It shares no code with `solver`: shares of traffic and rates are added as fractions, groups are placed one by
one. A plan that fails is no answer.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from optimizer.check_placement import blocks_of, nodes_for
from optimizer.columns.fleet import FleetColumns
from optimizer.columns.supply import Supply

_NOISE = Fraction(1, 10**6)


@dataclass(frozen=True)
class FleetCheck:
    """Recomputes one plan: replicas of each (item, setup), slices of each (item, setup, bucket)."""

    columns: FleetColumns
    replicas: Mapping[tuple[int, int], int]
    slices: Mapping[tuple[int, int, int], int]
    slices_each: int

    def share(self, key: tuple[int, int, int]) -> Fraction:
        """Requests per second of a bucket that a setup gets."""
        j, _, b = key
        demand = self.columns.demands[self.columns.items[j].service][b]
        return _exact(demand) * self.slices[key] / self.slices_each

    def utilisation(self, j: int, k: int) -> Fraction:
        """Busy share of the replicas of a setup; more than 1 is overload."""
        rates = self.columns.items[j].rates
        busy = sum(
            (self.share(s) / _exact(rates[s[2], k]) for s in self.slices if s[:2] == (j, k)), Fraction(0)
        )
        n = self.replicas.get((j, k), 0)
        return busy / n if n else busy * 10**9

    def served(self, service: int) -> list[int]:
        """Slices of each bucket served whole: by aggregated replicas, or by a prefill and a decode pool."""
        found = []
        for b in range(len(self.columns.demands[service])):
            by = dict.fromkeys(("aggregated", "prefill", "decode"), 0)
            for (j, _, at), n in self.slices.items():
                if at == b and self.columns.items[j].service == service:
                    by[self.columns.items[j].phase] += n
            found.append(by["aggregated"] + min(by["prefill"], by["decode"]))
        return found

    def chips(self) -> dict[str, int]:
        """Chips in use by kind."""
        used: dict[str, int] = {}
        for (j, k), n in self.replicas.items():
            setups = self.columns.items[j].setups
            name = str(setups.chip[k])
            used[name] = used.get(name, 0) + n * int(setups.chips[k])
        return used

    def total(self, quantity: str) -> float | None:
        """Chips, dollars or watts of the fleet; None where a kind in use has no figure."""
        used, supplies = self.chips(), {s.name: s for s in self.columns.supplies}
        if quantity == "chips":
            return float(sum(used.values()))
        each = [(n, getattr(supplies[name], quantity)) for name, n in used.items()]
        if any(value is None for _, value in each):
            return None
        return float(sum((n * _exact(value) for n, value in each), Fraction(0)))

    def requests_per_s(self) -> float:
        """Traffic served."""
        return float(
            sum(
                (
                    _exact(demand) * n / self.slices_each
                    for service, demands in enumerate(self.columns.demands)
                    for demand, n in zip(demands, self.served(service), strict=True)
                ),
                Fraction(0),
            )
        )

    def broken(self, bounds: Mapping[str, float], everything: bool) -> list[str]:
        """Bounds this plan breaks; `everything` if all traffic must be served."""
        found = [
            f"service:{name}"
            for service, name in enumerate(self.columns.names)
            if everything and any(n != self.slices_each for n in self.served(service))
        ]
        if any(self.utilisation(j, k) > 1 + _NOISE for j, k, _ in self.slices):
            found.append("utilisation")
        used = self.chips()
        for s in self.columns.supplies:
            stock = bounds.get(f"inventory:{s.name}")
            if stock is not None and not self._placed(s, int(stock), used.get(s.name, 0)):
                found.append(f"inventory:{s.name}")
        for quantity in ("chips", "usd_per_hour", "power_w"):
            limit, value = bounds.get(f"{quantity}_max"), self.total(quantity)
            if limit is not None and (value is None or value > limit * (1 + 1e-9)):
                found.append(f"{quantity}_max")
        return found

    def _placed(self, s: Supply, stock: int, used: int) -> bool:
        blocks: Counter[int] = Counter()
        for (j, k), n in self.replicas.items():
            setups = self.columns.items[j].setups
            if setups.chip[k] == s.name:
                blocks.update({size: n * m for size, m in blocks_of(str(setups.domains[k])).items()})
        if s.node is None:
            return used <= stock
        domain = min(s.node, s.chip.scaleup.domain) if s.chip else s.node
        return used <= stock and nodes_for(blocks, s.node, domain, stock) is not None


def _exact(number: float) -> Fraction:
    return Fraction(repr(float(number)))
