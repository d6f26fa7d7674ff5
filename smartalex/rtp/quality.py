"""The E-model with the default values of every parameter that we do not measure: from loss and delay to R and MOS.

Narrowband codecs are rated by ITU-T G.107, wideband ones by G.107.1.  Each has a scale of its own: a clean call has 4.4 with
G.711 and 4.3 with G.722, and the two do not compare.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, log2, log10, sqrt

import attrs


@attrs.frozen
class Rating:
    """Equipment impairment `ie` and robustness to loss `bpl` of a codec (ITU-T G.113)."""

    ie: float
    bpl: float
    wide: bool = False


RATINGS = {
    "PCMU": Rating(0.0, 25.1),
    "PCMA": Rating(0.0, 25.1),
    "G722": Rating(13.0, 4.6, wide=True),
    "opus": Rating(7.0, 10.0, wide=True),
}
"""G.711 with concealment as in G.113 appendix I, G.722 at 64 kbit/s as in its appendix IV.

ITU-T has published no robustness of G.722 (that of G.722.2 is taken), and nothing for Opus: what stands here is our guess.
"""

UNKNOWN = RATINGS["PCMU"]

_RO, _IS = 94.7688, 1.4136
_RO_WIDE, _STRETCH = 129.0, 1.29
_ROE, _ROE_WIDE = 94.7688, 106.2083
"""-1.5 (No - RLR), without noise of the wideband circuit, which G.107.1 leaves open."""

_TELR, _WEPL = 65.0, 110.0


def r_factor(loss_pct: float, delay_ms: float | None = None, codec: str = "PCMU", burst_ratio: float = 1.0) -> float:
    """0 to 100; G.107.1's scale of 129 is divided by 1.29, as its MOS is made.

    `delay_ms` is one way, mouth to ear; None rates listening alone.  `burst_ratio` is 1 for random loss, more for bursts.
    """
    rating = RATINGS.get(codec, UNKNOWN)
    impaired = _equipment(rating, loss_pct, burst_ratio)
    if delay_ms is not None:
        impaired += _delay(min(round(delay_ms), 5000), rating.wide)
    elif not rating.wide:
        impaired += _listener_echo(_RO, 0.0)  # part of the 93.2 that everybody knows
    r = (_RO_WIDE - impaired) / _STRETCH if rating.wide else _RO - _IS - impaired
    return min(100.0, max(0.0, r))


def mos(r: float) -> float:
    """1.0 to 4.5 (G.107 annex B, G.107.1 annex A)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _equipment(rating: Rating, loss_pct: float, burst_ratio: float) -> float:
    """Ie,eff (G.107 7.5); of wideband codecs for bursts as well, which G.107.1 does not go into."""
    if loss_pct <= 0:
        return rating.ie
    loss_pct = min(loss_pct, 100.0)
    return rating.ie + (95 - rating.ie) * loss_pct / (loss_pct / max(1.0, burst_ratio) + rating.bpl)


@lru_cache(maxsize=4096)
def _delay(ms: int, wide: bool) -> float:
    """Id = Idte + Idle + Idd (G.107 7.4, G.107.1 7.4), the echo taking the same way."""
    if wide:
        return _talker_echo_wide(ms) + _listener_echo(_RO_WIDE, 2 * ms) + _STRETCH * _absolute_delay(ms)
    return _talker_echo(ms) + _listener_echo(_RO, 2 * ms) + _absolute_delay(ms)


def _talker_echo(ms: float) -> float:
    if ms < 1:
        return 0.0  # sidetone
    terv = _TELR - 40 * log10((1 + ms / 10) / (1 + ms / 150)) + 6 * exp(-0.3 * ms * ms)
    return (_echo(_ROE - (80 + 2.5 * (terv - 14)), 100) - 1) * (1 - exp(-ms))


def _talker_echo_wide(ms: float) -> float:
    k = 0.08 * ms + 10 if ms < 100 else 18.0
    terv = _TELR + k - 40 * log10((1 + ms / 10) / (1 + ms / 150)) + 6 * exp(-0.3 * ms * ms)
    return (_echo(_ROE_WIDE - (80 + 3 * (terv - 14)), 100) - 1) * (1 - exp(-ms))


def _listener_echo(ro: float, round_trip_ms: float) -> float:
    return _echo(ro - 10.5 * (_WEPL + 7) * (round_trip_ms + 1) ** -0.25, 169)


def _echo(above: float, squared: float) -> float:
    return above / 2 + sqrt(above * above / 4 + squared)


def _absolute_delay(ms: float) -> float:
    if ms <= 100:
        return 0.0
    x = log2(ms / 100)
    return 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
