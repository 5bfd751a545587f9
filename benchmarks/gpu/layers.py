"""A decode step of a whole model, or of its first layers: random weights, shapes from the catalogue.

The step is embedding, layers, final norm and language-model head; no sampling. Layers have the projections of
queries, keys and values in one product, gate and up in one, norms fused with the residual, rotation fused
with the cache write. All sequences are at the same position, the last of their cache.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import moe
import torch
import torch.nn.functional as F
from grid import Case
from operators import Measured, NotRun, Operators

Tensor = torch.Tensor
MODELS = Path(__file__).parents[2] / "models"


def spec_of(name: str) -> dict[str, Any]:
    """The catalogue's file of a model, which is flat."""
    import yaml

    (path,) = MODELS.glob(f"*--{name}.yaml")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


class Decoder:
    """Weights of a model, and a decode step with them."""

    def __init__(self, spec: dict[str, Any], layers: int, operators: Operators) -> None:
        self.spec, self.fused, self.device = spec, operators.fused, operators.device
        d, heads, kv, width = (spec[n] for n in ("d_model", "n_heads", "n_kv_heads", "d_head"))
        wide = (heads + 2 * kv) * width
        vocab = -(-spec["vocab_size"] // 64) * 64
        self.table = self._weights(vocab, d)
        self.head = self.table if spec.get("tied_embeddings") else self._weights(vocab, d)
        self.norm = self._ones(d)
        self.layers = [
            {
                "norm": self._ones(d),
                "qkv": self._weights(wide, d),
                "bias": self._weights(wide) if spec.get("qkv_bias") else None,
                "q_norm": self._ones(heads * width),
                "k_norm": self._ones(kv * width),
                "out": self._weights(d, heads * width),
                "ffn_norm": self._ones(d),
                **self._ffn(d),
            }
            for _ in range(layers)
        ]

    def step(
        self,
        tokens: Tensor,
        caches: list[tuple[Tensor, Tensor]],
        turns: tuple[Tensor, Tensor],
        n_layers: int,
        attend: Callable[..., Tensor],
        experts: Callable[..., Tensor] | None,
    ) -> Tensor:
        """Logits of one new token of each sequence."""
        norm, rope, silu_mul = (self.fused[name] for name in ("add_norm", "rope", "silu_mul"))
        x, residual = F.embedding(tokens, self.table), None
        position = caches[0][0].shape[2] - 1
        q_width = self.spec["n_heads"] * self.spec["d_head"]
        kv_width = self.spec["n_kv_heads"] * self.spec["d_head"]
        for i, layer in enumerate(self.layers[:n_layers]):
            keys, values = caches[i % len(caches)]
            h, residual = norm(x, residual, layer["norm"])
            qkv = F.linear(h, layer["qkv"], layer["bias"])
            if self.spec.get("qk_norm_full"):
                q, k, v = qkv.split((q_width, kv_width, kv_width), -1)
                own = norm(q, None, layer["q_norm"])[0], norm(k, None, layer["k_norm"])[0], v
                qkv = torch.cat(own, -1)
            q = rope(qkv, *turns, keys, values, position)
            x = F.linear(attend(q, keys, values).reshape(len(tokens), -1), layer["out"])
            h, residual = norm(x, residual, layer["ffn_norm"])
            if experts is None:
                x = F.linear(silu_mul(F.linear(h, layer["up"])), layer["down"])
            else:
                x = experts(h, layer["router"], layer["up"], layer["down"])
        h, _ = norm(x, residual, self.norm)
        return F.linear(h, self.head)

    def _ffn(self, d: int) -> dict[str, Tensor]:
        n, width = self.spec.get("n_experts"), self.spec.get("d_ff") or self.spec["d_expert"]
        if not n:
            return {"up": self._weights(2 * width, d), "down": self._weights(d, width)}
        own = {"router": self._weights(n, d), "up": self._weights(n, 2 * width, d)}
        return own | {"down": self._weights(n, d, width)}

    def _weights(self, *shape: int) -> Tensor:
        return torch.empty(*shape, device=self.device, dtype=torch.bfloat16).normal_(0, 0.02)

    def _ones(self, *shape: int) -> Tensor:
        return torch.ones(*shape, device=self.device, dtype=torch.bfloat16)


class Steps:
    """Measures decode steps; keeps the weights of one model."""

    def __init__(self, operators: Operators) -> None:
        self.operators, self.clock = operators, operators.clock
        self.name, self.decoder = "", None

    def __call__(self, case: Case) -> Measured:
        """The step of a case, with the attention and the experts that are fastest there."""
        c: Any = case
        spec = spec_of(c.model)
        n_layers = c.layers or spec["n_layers"]
        decoder = self._decoder(c.model, spec, n_layers if self.clock.device == "cpu" else spec["n_layers"])
        caches = self._caches(spec, c.batch, c.context, n_layers)
        with torch.no_grad():
            attend, told = self._attend(spec, c, caches)
            experts, how = self._experts(spec, c, decoder)
            tokens = torch.randint(0, spec["vocab_size"], (c.batch,), device=self.clock.device)
            angles = torch.rand(c.context, spec["d_head"] // 2, device=self.clock.device) * 6
            turns = tuple(turn.to(torch.bfloat16).contiguous() for turn in (angles.cos(), angles.sin()))

            def run() -> Tensor:
                return decoder.step(tokens, caches, turns, n_layers, attend, experts)

            if not bool(torch.isfinite(run()).all()):
                raise NotRun("the step's result is not finite")
            timing = self.clock.time([run])
        backend = f"attention {told.backend} {told.us:.2f} us" + (
            f"; experts {how.backend} {how.us:.2f} us" if how else ""
        )
        shared = "" if len(caches) >= n_layers else f"{len(caches)} caches shared by the layers; "
        others = shared + "; ".join(m.others for m in (told, how) if m and m.others)
        return Measured(timing.us, timing.spread, timing.calls, timing.launch, backend, others)

    def _decoder(self, name: str, spec: dict[str, Any], layers: int) -> Decoder:
        if name != self.name:
            self.name, self.decoder = "", None
            self.clock.room()  # gives freed memory back
            self.decoder = Decoder(spec, layers, self.operators)
            self.name = name
        assert self.decoder is not None
        return self.decoder

    def _caches(
        self, spec: dict[str, Any], batch: int, context: int, layers: int
    ) -> list[tuple[Tensor, Tensor]]:
        """One for each layer, or as many as half the free memory holds, at least two."""
        shape = (batch, spec["n_kv_heads"], context, spec["d_head"])
        each = 4 * batch * context * spec["n_kv_heads"] * spec["d_head"]
        room = self.clock.room()
        n = min(layers, int(room / 2 / each))
        if n < min(layers, 2):
            raise NotRun(f"two caches of {each / 2**30:.1f} GiB do not fit in {room / 2**30:.1f}")
        random = self.operators.random
        return [(random(*shape), random(*shape)) for _ in range(n)]

    def _attend(self, spec: dict[str, Any], c: Any, caches: Any) -> tuple[Callable[..., Tensor], Measured]:
        q = self.operators.random(c.batch, spec["n_heads"], spec["d_head"])
        return self.operators.best(self.operators.attention(), [(q, *cache) for cache in caches])

    def _experts(self, spec: dict[str, Any], c: Any, decoder: Decoder) -> tuple[Any, Measured | None]:
        if "n_experts" not in spec:
            return None, None
        x = self.operators.random(c.batch, spec["d_model"])
        forms = moe.forms(c.batch, spec["n_active_experts"], decoder.fused["silu_mul"])
        sets = [(x, layer["router"], layer["up"], layer["down"]) for layer in decoder.layers]
        return self.operators.best(forms, sets)
