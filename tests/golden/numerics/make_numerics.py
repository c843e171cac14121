"""exp, log, sin, cos, tanh, erf and pow on hard float32 inputs, exactly rounded.

Run by hand:  python make_numerics.py
mpmath evaluates at two precisions that must round alike. One line per case of functions.txt:
    function x y expected_f32 expected_f64
all but the name being IEEE bits in hex; y is "-" for functions of one argument. The last column, the
value rounded to double, is for errors in fractions of an ulp.
"""

import math
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np

HERE = Path(__file__).resolve().parent
F32 = np.float32
INF, NAN = float("inf"), float("nan")
SMALL = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-40,
    -1.1754944e-38,
    1e-30,
    -1e-20,
    1e-10,
    5.9604645e-08,
    -1.1920929e-07,
    2e-4,
    -3.4e-4,
    1e-3,
    -0.0123,
]
EXACT = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tanh": mpmath.tanh,
    "erf": mpmath.erf,
    "pow": mpmath.power,
}
APPROXIMATE = {
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf),
    "pow": np.power,
}


def neighbours(values, steps=2):
    """Each value as float32 with the floats beside it."""
    out = []
    for value in values:
        x = F32(value)
        out.append(x)
        up = down = x
        for _ in range(steps):
            with np.errstate(over="ignore"):
                up, down = np.nextafter(up, F32(INF)), np.nextafter(down, F32(-INF))
            out += [up, down]
    return out


def random_inputs(name, rng, count):
    spans = {
        "exp": (-104, 89),
        "tanh": (-10, 10),
        "erf": (-4, 4),
        "sin": (-3000, 3000),
        "cos": (-3000, 3000),
    }
    if name in spans:
        half = rng.uniform(*spans[name], count // 2)
        near = rng.uniform(-1, 1, count - count // 2) * 4.0
        return np.concatenate([half, near]).astype(F32), None
    if name == "log":
        wide = np.exp(rng.uniform(-100, 88, count // 2))
        return np.concatenate([wide, rng.uniform(0.5, 2.0, count - count // 2)]).astype(F32), None
    base = np.exp(rng.uniform(-12, 14, count)).astype(F32)
    return base, (rng.uniform(-80, 80, count) / np.log(base.astype(float))).astype(F32)


def hard_to_round(name, rng, keep=110):
    """Random inputs whose values lie closest to the middle between two floats."""
    x, y = random_inputs(name, rng, 100000)
    arguments = [v.astype(np.float64) for v in (x, y) if v is not None]
    with np.errstate(all="ignore"):
        value = APPROXIMATE[name](*arguments)
    normal = np.isfinite(value) & (np.abs(value) > 2e-38) & (np.abs(value) < 3e38)
    mantissa = np.frexp(value)[0] * 2.0**24
    distance = np.where(normal, np.abs(mantissa - np.floor(mantissa) - 0.5), 1.0)
    best = np.argsort(distance)[:keep]
    return [(x[i], None if y is None else y[i]) for i in best]


def chosen(name):
    if name == "exp":
        edges = [88.72283, 88.72284, -87.33654, -87.3366, -103.2789, -103.97208, -104.0, 0.6931472]
        halves = [k * math.log(2) for k in (-126, -20, -1, 0.5, 1.5, 7, 127)]
        return neighbours(edges + halves) + SMALL + [1, -1, 100, -200, INF, -INF, NAN]
    if name == "log":
        return neighbours(
            [
                1.0,
                2.0,
                0.5,
                math.sqrt(2),
                math.sqrt(0.5),
                math.e,
                10,
                3.4028235e38,
                1.1754944e-38,
                1e-40,
            ]
        ) + [0.0, -0.0, -1.0, 1e-45, INF, -INF, NAN]
    if name in ("sin", "cos"):
        quarters = [k * math.pi / 4 for k in (1, 2, 3, 4, 6, 8, 11, 22, 355, 710, 83443, 1e6, 1e9)]
        huge = [1e10, 1e20, 16367173 * 2.0**72, 3.4028235e38, 123456789, 131071, 4194304]
        return (
            neighbours(quarters)
            + neighbours(huge, 1)
            + SMALL
            + [1, 2, 3, 100, 511, 4095, 32767, 131072, INF, -INF, NAN]
        )
    if name == "tanh":
        return (
            neighbours([0.55, 0.625, 1, 9.010913, 9.02, 8.7, 20, -0.3, -4], 2)
            + SMALL
            + [50, -100, 3e38, INF, -INF, NAN]
        )
    if name == "erf":
        return (
            neighbours([0.5, 0.84375, 1.0, 1.25, 2.857, 3.8, 3.9192059, 4, -0.7, -2], 2)
            + SMALL
            + [50, -100, 3e38, INF, -INF, NAN]
        )
    raise ValueError(name)


def chosen_powers():
    pairs = [
        (base, -2.0 * i / dim)
        for base in (1e4, 5e5, 1e6)
        for dim in (64, 80, 96, 128, 256)
        for i in (1, 2, dim // 4, dim // 2 - 1)
    ]
    near_one = neighbours([1.0], 3)
    pairs += [(x, y) for x in near_one for y in (1e6, -1e7, 0.5, 3e8)]
    pairs += [(2.0, k) for k in (-149, -150, -126, 127, 128, 0.5, 10)]
    pairs += [(-2.0, k) for k in (2, 3, -3, 127, 128, 0.5)] + [(-1.0, 1e10), (-1.0, 16777215)]
    special = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.5]
    pairs += [(x, y) for x in special for y in special + [3.0, -3.0, -0.5]]
    return [(F32(x), F32(y)) for x, y in pairs]


def special_value(name, x, y):
    """What C's Annex F says where there is nothing to round; None elsewhere."""
    if name == "pow":
        if x == 1 or y == 0:
            return 1.0
        if math.isnan(x) or math.isnan(y):
            return NAN
        odd = math.isfinite(y) and y == int(y) and int(y) % 2 == 1
        if math.isinf(y):
            return 1.0 if abs(x) == 1 else INF if (abs(x) > 1) == (y > 0) else 0.0
        if x == 0 or math.isinf(x):
            large = (x == 0) == (y < 0)
            return math.copysign(INF if large else 0.0, x if odd else 1.0)
        return NAN if x < 0 and y != int(y) else None
    if math.isnan(x) or (name in ("sin", "cos") and math.isinf(x)) or (name == "log" and x < 0):
        return NAN
    if name == "log" and x == 0:
        return -INF
    if math.isinf(x):
        return {"exp": INF if x > 0 else 0.0, "log": INF}.get(name, math.copysign(1.0, x))
    return x if x == 0 and name in ("sin", "tanh", "erf") else None


def rounded(value, digits, smallest, largest):
    """To nearest, ties to even, with gradual underflow; `value` is a Fraction, not zero."""
    exponent = math.floor(math.log2(abs(value.numerator)) - math.log2(value.denominator))
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - digits + 1, smallest)
    result = round(value / unit) * unit
    if abs(result) >= Fraction(2) ** largest:
        return math.copysign(INF, value)
    return math.copysign(float(abs(result)), value)


def exact(name, arguments, precision):
    with mpmath.workprec(precision):
        value = EXACT[name](*[mpmath.mpf(float(a)) for a in arguments])
        sign, mantissa, exponent, _ = value._mpf_
    return Fraction(-mantissa if sign else mantissa) * Fraction(2) ** exponent


def evaluate(name, x, y):
    special = special_value(name, float(x), None if y is None else float(y))
    if special is not None:
        return special, special
    arguments = [x] if y is None else [x, y]
    results = []
    for precision in (400, 800):
        value = exact(name, arguments, precision)
        if value == 0:
            value = Fraction(1, 2**2000)
        if abs(value) > Fraction(2) ** 1100:
            results.append((math.copysign(INF, value),) * 2)
        else:
            results.append((rounded(value, 24, -149, 128), rounded(value, 53, -1074, 1024)))
    assert results[0] == results[1], (name, x, y)
    return results[1]


def main():
    rng = np.random.default_rng(20240501)
    lines = []
    for name in EXACT:
        cases = chosen_powers() if name == "pow" else [(F32(x), None) for x in chosen(name)]
        cases += hard_to_round(name, rng)
        seen = set()
        for x, y in cases:
            single, double = evaluate(name, x, y)
            bits = [f"{F32(v).view(np.uint32):08x}" for v in (x, single)]
            second = "-" if y is None else f"{F32(y).view(np.uint32):08x}"
            if (bits[0], second) in seen:
                continue
            seen.add((bits[0], second))
            last = f"{np.float64(double).view(np.uint64):016x}"
            lines.append(f"{name} {bits[0]} {second} {bits[1]} {last}")
        print(name, len(seen))
    (HERE / "functions.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
