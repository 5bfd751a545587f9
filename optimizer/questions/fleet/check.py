"""The independent check of a fleet: every bucket served well enough, no replica overloaded, chips in stock.

It shares no code with `solver`: shares of traffic and rates are added as fractions of the figures as stated,
groups are placed in nodes one by one, the quality of answers is added up. What the cost model said of each
part is asked again (`check_parts`). A plan that fails is no answer.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from optimizer.anatomy.placement import blocks_of, nodes_for
from optimizer.columns.supply import Supply
from optimizer.metrics import each as each_of
from optimizer.metrics import totals
from optimizer.questions.deployment.check_loads import exact as _exact
from optimizer.questions.fleet.check_parts import differs
from optimizer.questions.fleet.check_worst import NOISE, Stood, stood
from optimizer.questions.fleet.columns import FleetColumns

_LIMIT_NOISE = 1e-9
PHASES = ("aggregated", "prefill", "decode")


@dataclass(frozen=True)
class FleetCheck:
    """Recomputes one plan: replicas of each (item, setup), share of each (item, setup, bucket)."""

    columns: FleetColumns
    replicas: Mapping[tuple[int, int], int]
    shares: Mapping[tuple[int, int, int], Fraction]
    """Of the bucket's traffic."""
    routes: tuple[Mapping[tuple[int, int, int], Fraction], ...] = ()
    """How traffic is split when something goes wrong: one of these will do for each service, in each case."""

    def traffic(self, key: tuple[int, int, int]) -> Fraction:
        """Requests per second of a bucket that a setup gets."""
        j, _, b = key
        return _exact(self.columns.demands[self.columns.items[j].service][b]) * self.shares[key]

    def utilisation(self, j: int, k: int) -> Fraction | None:
        """Busy share of the replicas of a setup, more than 1 is overload; None where no replica can."""
        rates, busy = self.columns.items[j].rates, Fraction(0)
        for key in self.shares:
            if key[:2] == (j, k) and self.shares[key]:
                if not (rate := _exact(rates[key[2], k])):
                    return None
                busy += self.traffic(key) / rate
        n = self.replicas.get((j, k), 0)
        return busy / n if n else None if busy else Fraction(0)

    def served(self, service: int) -> list[Fraction]:
        """Share of each bucket that is served: by aggregated replicas, or by a prefill and a decode pool."""
        answered = self._answered(service)
        buckets = range(len(self.columns.demands[service]))
        return [sum((x for (_, at), x in answered.items() if at == b), Fraction(0)) for b in buckets]

    def quality(self, service: int) -> Fraction | None:
        """The mean quality of a service's answers, weighted with traffic; None where that is not known."""
        stated = self.columns.quality(service)
        answered = self._answered(service)
        demands = list(map(_exact, self.columns.demands[service]))
        served = sum((demands[b] * x for (_, b), x in answered.items()), Fraction(0))
        if stated is None or not served:
            return None
        return sum((demands[b] * x * stated.each[m] for (m, b), x in answered.items()), Fraction(0)) / served

    def _answered(self, service: int) -> dict[tuple[int, int], Fraction]:
        """Share of each bucket that each model of a service answers: a pool hands over to one of its own."""
        by: dict[tuple[int, int], dict[str, Fraction]] = {}
        for (j, _, b), share in self.shares.items():
            item = self.columns.items[j]
            if item.service == service:
                by.setdefault((item.model, b), dict.fromkeys(PHASES, Fraction(0)))[item.phase] += share
        return {at: own["aggregated"] + min(own["prefill"], own["decode"]) for at, own in by.items()}

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
        each = [
            (n, value) for name, n in used.items() if (value := each_of(quantity, supplies[name])) is not None
        ]
        if len(each) < len(used):
            return None
        return float(sum((n * _exact(value) for n, value in each), Fraction(0)))

    def requests_per_s(self) -> float:
        """Traffic served, of each service where it is least."""
        least = (min(way.carried(service) for way in self.ways) for service in range(len(self.columns.names)))
        return float(sum(least, Fraction(0)))

    def carried(self, service: int) -> Fraction:
        """Requests per second of a service that are served, split as they are."""
        pairs = zip(self.columns.demands[service], self.served(service), strict=True)
        return sum((_exact(demand) * share for demand, share in pairs), Fraction(0))

    @cached_property
    def at_worst(self) -> tuple[Stood, ...]:
        """The fleet in each case of what may go wrong; none where nothing may."""
        return stood(self.columns, self.replicas, self.routes)

    def broken(self, bounds: Mapping[str, float], everything: bool) -> list[str]:
        """Bounds this plan breaks; `everything` if all traffic must be served."""
        found = []
        for service, name in enumerate(self.columns.names):
            served = self.served(service)
            each = [share for way in self.ways for share in way.served(service)]
            if any(share > 1 or (everything and share < 1) for share in each):
                found.append(f"service:{name}")
            setups = self._setups(service)
            if self.columns.same[service] and not _alike(setups, served):
                found.append(f"mix:{name}")
            handed = {
                (self.columns.items[key[0]].model, c) for phase, key, c in setups if phase in PHASES[1:]
            }
            if len(handed) > len({model for model, _ in handed}):
                found.append(f"kv_dtype:{name}")
            if not all(way.good_enough(service) for way in self.ways):
                found.append(f"{name}.quality_min")
        if not self.carries:
            found.append("utilisation")
        found += [f"robust ({own.case.words})" for own in self.at_worst if not own.holds]
        used = self.chips()
        for s in self.columns.supplies:
            stock = bounds.get(f"inventory:{s.name}")
            if stock is not None and not _placed(self, s, int(stock), used.get(s.name, 0)):
                found.append(f"inventory:{s.name}")
        for quantity in totals():
            limit, value = bounds.get(f"{quantity}_max"), self.total(quantity)
            if limit is not None and (value is None or value > limit + abs(limit) * _LIMIT_NOISE):
                found.append(f"{quantity}_max")
        if any(self.shares[key] and differs(self.columns, key) for key in self.shares):
            found.append("prices")
        return found

    def good_enough(self, service: int) -> bool:
        """Whether the mean quality of a service's answers is kept, split as they are."""
        stated, mean = self.columns.quality(service), self.quality(service)
        return stated is None or stated.least is None or mean is None or mean >= stated.least - NOISE

    @property
    def carries(self) -> bool:
        """Whether no replica has more than it can do, as predicted."""
        return all(self._carries(j, k) for j, k, _ in self.shares)

    @property
    def ways(self) -> "tuple[FleetCheck, ...]":
        """The plan as it splits traffic, and as it does when something goes wrong."""
        return (self, *(replace(self, shares=own, routes=()) for own in self.routes))

    def _carries(self, j: int, k: int) -> bool:
        busy = self.utilisation(j, k)
        return busy is not None and busy <= 1 + NOISE

    def _setups(self, service: int) -> list[tuple[str, tuple[int, int], str]]:
        """Phase, key and cache format of the setups in use."""
        items = self.columns.items
        return [
            (items[j].phase, (j, k), str(items[j].setups.kv_dtype[k]))
            for (j, k), n in self.replicas.items()
            if n and items[j].service == service
        ]


def _alike(setups: list[tuple[str, tuple[int, int], str]], served: list[Fraction]) -> bool:
    """One aggregated setup, or one of prefill and one of decode; none where nothing is served."""
    phases = sorted(phase for phase, _, _ in setups)
    return phases in (["aggregated"], ["decode", "prefill"]) or (not any(served) and len(phases) < 2)


def _placed(check: FleetCheck, s: Supply, stock: int, used: int) -> bool:
    """Whether the groups of chips of a kind find room in its nodes."""
    blocks: Counter[int] = Counter()
    for (j, k), n in check.replicas.items():
        setups = check.columns.items[j].setups
        if setups.chip[k] == s.name:
            blocks.update({size: n * m for size, m in blocks_of(str(setups.domains[k])).items()})
    if s.node is None:
        return used <= stock
    domain = min(s.node, s.chip.scaleup.domain) if s.chip else s.node
    return used <= stock and nodes_for(blocks, s.node, domain, stock) is not None
