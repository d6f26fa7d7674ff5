"""The E-model in short (ITU-T G.107): from loss and delay to R and MOS."""

from __future__ import annotations

IE_BPL = {"PCMU": (0.0, 25.1), "PCMA": (0.0, 25.1), "G722": (13.0, 20.0)}
"""Equipment impairment and packet-loss robustness with concealment (G.113 appendix I)."""


def r_factor(loss_pct: float, delay_ms: float, codec: str = "PCMU", burst_ratio: float = 1.0) -> float:
    """0 to 93.2; `delay_ms` is one way, mouth to ear."""
    ie, bpl = IE_BPL.get(codec, (0.0, 25.1))
    effective = ie + (95 - ie) * loss_pct / (loss_pct / max(1.0, burst_ratio) + bpl) if loss_pct > 0 else ie
    delay = 0.024 * delay_ms + (0.11 * (delay_ms - 177.3) if delay_ms > 177.3 else 0.0)
    return max(0.0, 93.2 - delay - effective)


def mos(r: float) -> float:
    """1.0 to 4.5."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)
