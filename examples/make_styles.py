"""Paint the demo's own style pictures: `python make_styles.py [--only NAME] [--size N] [-o DIR]`.

Every picture is an imaginary scene painted with one technique. A painter is a function
`(rng, n) -> image`, an (n, n, 3) float32 RGB array in [0, 1]; the generator is seeded with the
style's name, so a run gives the same bits as the one before. NumPy and Pillow are all it needs.

Lengths inside painters are fractions of the picture's side, x to the right and y downwards.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.floating]  # float32 where it is large; colour in the last axis
Painter = Callable[[Generator, int], Array]

ROOT = Path(__file__).parent
SIZE = 768  # pixels a side of the packaged pictures
TAU = 2 * np.pi


# --- Colour and tone -----------------------------------------------------------------------------


def palette(*codes: str) -> Array:
    """Hex codes without '#', to an (n, 3) array in [0, 1]."""
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in codes], np.float32)


def ramp(colors: Array, t: Array) -> Array:
    """Colours spread evenly over t in [0, 1], linearly interpolated."""
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(t, stops, c) for c in colors.T], -1).astype(np.float32)


def smoothstep(low: float, high: float, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Array, b: Array, t: Array) -> Array:
    """a where t is 0, b where t is 1; t has no colour axis."""
    return a + (b - a) * t[..., None]


def luminance(image: Array) -> Array:
    return image @ np.array([0.299, 0.587, 0.114], np.float32)


# --- Fields: noise, blur, warp -------------------------------------------------------------------


def grid(n: int) -> tuple[Array, Array]:
    """x and y of the pixel centres, in (0, 1)."""
    line = (np.arange(n, dtype=np.float32) + 0.5) / n
    x, y = np.meshgrid(line, line)
    return x, y


def noise(
    rng: Generator, n: int, cells: float | tuple[float, float], octaves: int = 4, gain: float = 0.5
) -> Array:
    """Fractal value noise with mean 0.5, stretched to fill [0, 1]; `cells` across, or (x, y)."""
    total = np.zeros((n, n), np.float32)
    for octave in range(octaves):
        if isinstance(cells, tuple):
            shape = [min(n, max(2, round(c * 2**octave) + 3)) for c in cells]
            knots = Image.fromarray(rng.random(shape[::-1], dtype=np.float32))
            layer = knots.resize((n, n), Image.Resampling.BICUBIC)
        else:  # turn each octave's lattice, or its axes show
            pace = min(n, cells * 2**octave) / n
            side = math.ceil(1.45 * pace * n) + 5
            knots = Image.fromarray(rng.random((side, side), dtype=np.float32))
            c, s = pace * math.cos(0.5 + octave), pace * math.sin(0.5 + octave)
            start = (side / 2 - (c - s) * n / 2, side / 2 - (c + s) * n / 2)
            turn = (c, -s, start[0], s, c, start[1])
            layer = knots.transform((n, n), Image.Transform.AFFINE, turn, Image.Resampling.BICUBIC)
        total += gain**octave * np.asarray(layer)
    total -= total.mean()
    return np.clip(0.5 + total / (5.0 * total.std() + 1e-9), 0, 1)


def blur(a: Array, radius: float) -> Array:
    """Three box blurs, close to a Gaussian of standard deviation `radius` pixels."""
    half = max(1, round(radius))
    for axis in (0, 1) * 3:
        pad = [(0, 0)] * a.ndim
        pad[axis] = (half + 1, half)
        sums = np.cumsum(np.pad(a, pad, mode="edge"), axis, dtype=np.float64)
        length = a.shape[axis]
        top = np.take(sums, np.arange(2 * half + 1, 2 * half + 1 + length), axis)
        a = ((top - np.take(sums, np.arange(length), axis)) / (2 * half + 1)).astype(np.float32)
    return a


def sample(a: Array, x: Array, y: Array) -> Array:
    """Bilinear look-up of `a` at fractions (x, y), clamped at the border."""
    height, width = a.shape[:2]
    px = np.clip(x * width - 0.5, 0, width - 1.001)
    py = np.clip(y * height - 0.5, 0, height - 1.001)
    ix, iy = px.astype(np.int32), py.astype(np.int32)
    fx, fy = px - ix, py - iy
    if a.ndim == 3:
        fx, fy = fx[..., None], fy[..., None]
    upper = a[iy, ix] * (1 - fx) + a[iy, ix + 1] * fx
    lower = a[iy + 1, ix] * (1 - fx) + a[iy + 1, ix + 1] * fx
    return (upper * (1 - fy) + lower * fy).astype(np.float32)


def wobble(rng: Generator, image: Array, amount: float, cells: float, octaves: int = 3) -> Array:
    """Displace the picture by noise, so that ruled edges look drawn by hand."""
    n = len(image)
    x, y = grid(n)
    dx, dy = (noise(rng, n, cells, octaves) - 0.5 for _ in range(2))
    return sample(image, x + 2 * amount * dx, y + 2 * amount * dy)


def shrink(image: Array, n: int) -> Array:
    """Average an (m, m[, 3]) picture painted larger down to n pixels a side."""
    planes = [image] if image.ndim == 2 else list(np.moveaxis(image, -1, 0))
    small = [
        np.asarray(Image.fromarray(np.ascontiguousarray(p)).resize((n, n), Image.Resampling.BOX))
        for p in planes
    ]
    return small[0] if image.ndim == 2 else np.stack(small, -1)


def ridge(rng: Generator, n: int, base: float, height: float, cells: float) -> Array:
    """A mountain outline: y for each of n columns."""
    return base - height * (2 * noise(rng, n, cells, 6, 0.45)[n // 2] - 1)


# --- Light and paper -----------------------------------------------------------------------------


def relight(
    image: Array, height: Array, depth: float, gloss: float = 0.0, azimuth: float = -2.3
) -> Array:
    """Light a relief from the upper left: diffuse shading, and a highlight of strength `gloss`."""
    gy, gx = np.gradient(height * depth)
    slope = gx * math.cos(azimuth) + gy * math.sin(azimuth)
    facing = 1 / np.sqrt(1 + gx**2 + gy**2)
    shade = np.clip((0.72 - slope * 0.72) * facing / 0.72, 0.35, 1.6)
    shine = gloss * np.clip(-slope * facing, 0, 1) ** 3
    return np.clip(image * shade[..., None] + shine[..., None], 0, 1)


def paper_grain(rng: Generator, n: int) -> Array:
    """Cold-pressed paper: bumps a few pixels wide, in [0, 1]."""
    return 0.65 * noise(rng, n, n / 5, 2) + 0.35 * noise(rng, n, n / 18, 2)


# --- Strokes -------------------------------------------------------------------------------------


def bristle_bank(rng: Generator, hairs: float, count: int = 24) -> Array:
    """(count, 96, 16) streaks along the stroke, in [0, 1], to be looked up by every dab."""
    return np.stack([noise(rng, 96, (1.2, hairs), 3, 0.7)[::6].T for _ in range(count)])


class Canvas:
    """Wet paint: what the strokes have coloured so far, and how thick it lies."""

    def __init__(self, rng: Generator, color: Array, hairs: float = 8) -> None:
        self.color = color.copy()
        self.height = np.full(color.shape[:2], 0.7, np.float32)
        self.bristles = bristle_bank(rng, hairs)

    def dab(
        self,
        center: tuple[float, float],
        angle: float,
        size: tuple[float, float],
        colors: tuple[Array, Array],
        texture: int,
        bend: float = 0.0,
        dryness: float = 0.2,
        opacity: float = 1.0,
    ) -> None:
        """One stroke, in pixels: an arc with bristle streaks, ragged ends and raised rims.

        `colors` are the two the brush was loaded with, `bend` is curvature times length, and a
        dry brush leaves gaps between its bristles towards the end.
        """
        (cx, cy), (length, width) = center, size
        reach = int(math.hypot(length, width) / 2 + abs(bend) * length / 8) + 2
        rows, cols = len(self.height), len(self.height[0])
        top, bottom = max(0, int(cy) - reach), min(rows, int(cy) + reach)
        left, right = max(0, int(cx) - reach), min(cols, int(cx) + reach)
        if top >= bottom or left >= right:
            return
        dx = np.arange(left, right, dtype=np.float32)[None] - cx
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] - cy
        along = (dx * math.cos(angle) + dy * math.sin(angle)) * (2 / length)
        across = (dy * math.cos(angle) - dx * math.sin(angle)) * (2 / width)
        across = across - bend * length / width * 0.25 * (along**2 - 0.5)

        bank = self.bristles[texture % len(self.bristles)]
        i = np.clip((along + 1) * 47.5, 0, 95).astype(np.int32)
        j = np.clip((across + 1) * 7.5, 0, 15).astype(np.int32)
        streak = bank[i, j]
        ragged = 1 - 0.45 * bank[5, j] * min(1.0, 2 * width / length)
        cover = np.clip((1 - np.abs(across)) * width / 3, 0, 1)
        cover *= np.clip((ragged - np.abs(along)) * length / 4, 0, 1)
        cover *= np.clip(2.6 + 5 * (streak - 0.5) - 7 * dryness * (along + 1), 0, 1) * opacity

        view = np.s_[top:bottom, left:right]
        load = smoothstep(0.25, 0.75, streak + 0.25 * across)
        paint = colors[0] + (colors[1] - colors[0]) * load[..., None]
        paint = paint * (0.86 + 0.28 * streak[..., None])
        self.color[view] += (paint - self.color[view]) * cover[..., None]
        rim = smoothstep(0.55, 0.95, np.abs(across)) + smoothstep(0.7, 1.0, along)
        relief = self.height[view] * 0.45 + streak + 0.4 * rim
        self.height[view] += (relief - self.height[view]) * cover


def scatter(rng: Generator, n: int, spacing: float) -> Array:
    """(k, 2) pixel positions on a jittered grid, in random order, some outside the border."""
    axis = np.arange(-spacing, n + spacing, spacing)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    return rng.permutation(points + rng.uniform(-0.6, 0.6, points.shape) * spacing)


def pixel_at(a: Array, point: Sequence[float]) -> Array:
    """The value of `a` under a point given in pixels, clamped at the border."""
    last = len(a) - 1
    return a[int(np.clip(point[1], 0, last)), int(np.clip(point[0], 0, last))]


def brush_over(
    rng: Generator,
    canvas: Canvas,
    reference: Array,
    angle: Array,
    size: tuple[float, float],
    spacing: float = 0.5,
    jitter: float = 0.06,
    turn: float = 0.15,
    where: Array | None = None,
    bend_with: bool = True,
    dryness: float = 0.2,
    opacity: float = 1.0,
) -> None:
    """Cover the canvas with strokes that copy `reference` and follow `angle` (radians).

    `size` is (length, width) as fractions of the side; `spacing` counts in stroke widths;
    `where` gives each place's chance of a stroke.
    """
    n = len(reference)
    length, width = size[0] * n, size[1] * n
    for point in scatter(rng, n, max(1.5, spacing * np.sqrt(width * length) * 0.75)):
        chance, scale, spin = rng.random(3)
        tint = rng.normal(0, jitter * 0.6, (2, 3)).astype(np.float32)
        shade = rng.normal(0, jitter, 2).astype(np.float32)
        texture = int(rng.integers(1 << 16))
        if where is not None and chance >= pixel_at(where, point):
            continue
        theta = float(pixel_at(angle, point))
        ahead = point + 0.3 * length * np.array([np.cos(theta), np.sin(theta)])
        bend = 0.0
        if bend_with:
            bend = np.clip(np.sin(float(pixel_at(angle, ahead)) - theta) * 2.2, -1.6, 1.6)
        base = pixel_at(reference, point)
        pair = np.clip(base + tint + shade[:, None], 0, 1)
        grow = 0.7 + 0.6 * scale
        canvas.dab(
            (point[0], point[1]),
            theta + turn * (2 * spin - 1),
            (length * grow, width * (0.8 + 0.4 * scale)),
            (pair[0], pair[1]),
            texture,
            bend,
            dryness,
            opacity,
        )


def stencil(n: int, polygons: Iterable[Array], soft: int = 2) -> Array:
    """Antialiased coverage of filled polygons, each (k, 2) in fractions of the side."""
    sheet = Image.new("L", (n * soft, n * soft))
    pen = ImageDraw.Draw(sheet)
    for polygon in polygons:
        pen.polygon([(float(x) * n * soft, float(y) * n * soft) for x, y in polygon], fill=255)
    return np.asarray(sheet.resize((n, n), Image.Resampling.BOX), np.float32) / 255


def disc_on(sheet: Array, center: tuple[float, float], radius: float, color: Array) -> None:
    """Fill an antialiased disc in place."""
    m = len(sheet)
    reach = radius + 2 / m
    left, right = (int(np.clip((center[0] + s * reach) * m, 0, m)) for s in (-1, 1))
    top, bottom = (int(np.clip((center[1] + s * reach) * m, 0, m)) for s in (-1, 1))
    dx = (np.arange(left, right, dtype=np.float32)[None] + 0.5) / m - center[0]
    dy = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5) / m - center[1]
    cover = np.clip((radius - np.hypot(dx, dy)) * m + 0.5, 0, 1)
    view = sheet[top:bottom, left:right]
    view += (color - view) * cover[..., None]


def ring_points(center: tuple[float, float], radius: float, count: int = 64) -> Array:
    turn = np.linspace(0, TAU, count, endpoint=False)
    return np.stack([center[0] + radius * np.cos(turn), center[1] + radius * np.sin(turn)], -1)


# --- The painters --------------------------------------------------------------------------------


def paint_starry_swirl(rng: Generator, n: int) -> Array:
    """Thick oil in ultramarine and gold: wind curling round the stars above a rocking sea."""
    x, y = grid(n)
    stars = [(0.74, 0.17, 0.115), (0.16, 0.13, 0.06), (0.42, 0.1, 0.042), (0.93, 0.42, 0.05)]
    stars += [(0.1, 0.46, 0.05), (0.57, 0.3, 0.035), (0.3, 0.27, 0.036)]
    eddies = [(0.4, 0.42, 0.2, 1.0), (0.66, 0.5, 0.13, -1.0), (0.12, 0.3, 0.13, -0.8)]
    eddies += [(sx, sy, 1.5 * r, 1.3) for sx, sy, r in stars]
    flow_x = 0.55 + 0.2 * np.sin(5 * y + 2 * x)
    flow_y = 0.35 * np.sin(TAU * x * 1.2 + 3 * y)
    for ex, ey, radius, spin in eddies:
        dx, dy = x - ex, y - ey
        pull = spin * 2.6 * np.exp(-(dx**2 + dy**2) / (1.1 * radius**2)) / radius
        flow_x, flow_y = flow_x - dy * pull, flow_y + dx * pull
    angle = np.arctan2(flow_y, flow_x)

    # Tone streams along the flow: noise smeared by walking upstream through it.
    grain, px, py = noise(rng, n, 34, 3), x.copy(), y.copy()
    stream = np.zeros_like(x)
    for _ in range(24):
        theta = sample(angle, px, py)
        px, py = px - 0.005 * np.cos(theta), py - 0.005 * np.sin(theta)
        stream += sample(grain, px, py) / 24
    stream = np.clip(0.5 + (stream - stream.mean()) / (4.2 * stream.std()), 0, 1)
    night = palette("0a1440", "122a78", "1d4aa8", "2f78c4", "7fb9d8", "e4e3b8")
    image = ramp(night, 0.8 * stream + 0.12 * y)
    gold = palette("fff6c8", "ffdf5e", "f6b422", "d99a2b", "6fae9c")
    for sx, sy, r in stars:
        d = np.hypot(x - sx, y - sy) / r
        halo = ramp(gold, np.clip(d / 1.9 + 0.16 * np.sin(d * 9) + 0.3 * (stream - 0.5), 0, 1))
        image = mix(image, halo, 1 - smoothstep(1.0, 2.1, d + 0.8 * (stream - 0.5)))
    # The sea below takes up the stars' gold in broken, rocking bands.
    shore = 0.66 + 0.012 * np.sin(9 * x)
    down = np.clip((y - shore) / 0.34, 0, 1)
    phase = 70 * np.sqrt(down + 0.06) + 1.3 * np.sin(7 * x + 3 * down) + 2.4 * noise(rng, n, 3, 2)
    sea = palette("061c40", "0d3a6a", "15657f", "37968f", "a9cf9f")
    chop = 0.4 + 0.26 * np.sin(phase) + 0.4 * (noise(rng, n, (6, 24)) - 0.5)
    water = ramp(sea, np.clip(chop, 0, 1))
    for sx, _, r in (star for star in stars if star[2] > 0.045):
        wide = 0.25 * r + 0.012 + 0.45 * r * down
        path = np.exp(-(((x - sx - 0.012 * np.sin(phase * 0.7)) / wide) ** 2))
        glint = path * smoothstep(0.2, 0.7, np.sin(phase) + 0.9 * path + 1.6 * chop - 1.3)
        water = mix(water, gold[1:2][None], np.clip(1.15 * glint, 0, 1))
    below = smoothstep(-0.003, 0.003, y - shore)
    image = mix(image, water, below)
    angle = np.where(below > 0.5, -0.2 * np.cos(7 * x + 3 * down) - 0.05, angle)
    line = ridge(rng, n, 0.63, 0.06, 2.5)[None]
    hills = (y > line) & (y < shore)
    rock = palette("0a1230", "1c2b5e", "3d4a86", "7f6fa0")
    angle = np.where(hills, np.arctan(np.gradient(line[0]) * n)[None], angle)
    image = np.where(hills[..., None], ramp(rock, noise(rng, n, (16, 10), 3)), image)

    canvas = Canvas(rng, image)
    for size in ((0.1, 0.026), (0.075, 0.018), (0.055, 0.0125)):
        brush_over(rng, canvas, image, angle, size, 0.58, 0.05, dryness=0.12)
    detail = 7 * np.abs(luminance(image) - blur(luminance(image), n / 50)) - 0.1
    brush_over(rng, canvas, image, angle, (0.045, 0.009), 0.6, 0.06, where=detail, dryness=0.1)
    for sx, sy, r in stars:
        pair = (gold[0], gold[1])
        for k in range(9):
            at = ((sx + 0.1 * r * math.cos(k * 2.4)) * n, (sy + 0.1 * r * math.sin(k * 2.4)) * n)
            canvas.dab(at, k * 2.4 + 1.6, (0.5 * r * n, 0.2 * r * n), pair, k, 1.2, dryness=0.0)
    return relight(canvas.color, blur(canvas.height, n / 900), 1.7 * n / SIZE, gloss=0.22)


def paint_autumn_knife(rng: Generator, n: int) -> Array:
    """Palette knife: birches and burning maples, doubled in a cold lake."""
    x, y = grid(n)
    shore = 0.6
    mirror = np.where(y > shore, shore - (y - shore) * 1.25, y)
    blotch = sample(noise(rng, n, 9, 4), x, np.clip(mirror, 0, 1))
    leaves = palette("5c1020", "a81e22", "d8431d", "f07c1c", "f9b52c", "ffe27a")
    sky = ramp(
        palette("ffe2a0", "f8b07a", "7fb6cf", "2f78b0", "245a9a"), np.clip(1 - mirror * 2.2, 0, 1)
    )
    crown = 0.27 + 0.3 * (noise(rng, n, 5, 4)[n // 3] - 0.5)
    wood = smoothstep(-0.05, 0.06, mirror - crown[None] + 0.1 * (blotch - 0.5))
    deep = np.clip((mirror - 0.3) / 0.35, 0, 1)
    image = mix(sky, ramp(leaves, np.clip(1.15 * blotch - 0.3 * deep + 0.1, 0, 1)), wood)
    water = y > shore
    teal = ramp(palette("0c3a4a", "14606e", "3fa0a2"), noise(rng, n, (2, 26), 3))
    image = np.where(water[..., None], 0.72 * image + 0.36 * teal - 0.06, image)
    bank = np.exp(-(((y - shore) / 0.02) ** 2))
    image = mix(image, ramp(palette("2a1220", "5c2a22", "c98a3a"), noise(rng, n, 20, 3)), bank)

    angle = np.where(water, 0.15 * np.sin(40 * y), (noise(rng, n, 6, 2) - 0.5) * 5)
    canvas = Canvas(rng, np.full((n, n, 3), 0.2, np.float32), hairs=1.6)  # a blade drags smoothly
    for size in ((0.13, 0.06), (0.085, 0.042)):
        brush_over(rng, canvas, image, angle, size, 0.5, 0.05, 0.5, bend_with=False, dryness=0.05)
    brush_over(
        rng, canvas, image, angle, (0.06, 0.026), 0.8, 0.09, 0.7, bend_with=False, dryness=0.1
    )
    snow, shadow, bark = palette("f6efe0", "9db3c4", "33222e")
    for tx in (0.08, 0.19, 0.31, 0.5, 0.71, 0.8, 0.93):
        wide = rng.uniform(0.018, 0.04)
        lean = rng.uniform(-0.05, 0.05)
        top = rng.uniform(-0.05, 0.16)
        for ty in np.arange(top, 1.0, 0.03):
            wet = ty > shore
            span = (ty - shore) if wet else (shore - ty)
            px = tx + lean * span + rng.normal(0, 0.0022 if not wet else 0.006)
            tone = (
                (0.85 * snow - 0.25 * span, 0.75 * shadow - 0.2 * span) if wet else (snow, shadow)
            )
            chance = rng.random()
            stroke = (0.08 * n, wide * n) if not wet else (wide * 1.6 * n, 0.034 * n)
            turn = np.pi / 2 - lean if not wet else 0.0
            canvas.dab((px * n, ty * n), turn, stroke, tone, int(rng.integers(99)), 0.0, 0.02)
            if not wet and chance < 0.4:
                mark = (px + rng.uniform(-0.4, 0.4) * wide, ty + rng.uniform(0, 0.03))
                cut = (wide * rng.uniform(0.5, 1.2) * n, 0.008 * n)
                canvas.dab((mark[0] * n, mark[1] * n), 0.2, cut, (bark, bark), int(chance * 99))
    spark = np.where(water, 0.12, 0.5 * wood)
    light = np.clip(image * 1.15 + 0.06, 0, 1)
    brush_over(rng, canvas, light, angle, (0.04, 0.02), 0.8, 0.1, 1.2, spark, False, dryness=0.1)
    return relight(canvas.color, blur(canvas.height, n / 600), 2.3 * n / SIZE, gloss=0.3)


def paint_poppy_pastel(rng: Generator, n: int) -> Array:
    """Soft pastel on dark toothed paper: poppies and lavender under a warm evening."""
    x, y = grid(n)
    tooth = paper_grain(rng, n)
    dusk = palette("4b3f8f", "8a63b8", "e08fb0", "ffb98a", "ffe0a0")
    image = ramp(dusk, np.clip(y / 0.42 + 0.35 * (noise(rng, n, (3, 9), 4) - 0.5), 0, 1))
    sun = np.hypot(x - 0.68, (y - 0.3) * 1.05)
    image = mix(image, palette("fff3c4")[:, None], 1 - smoothstep(0.06, 0.075, sun))
    image = mix(image, palette("ffc878")[:, None], 0.6 * np.exp(-((sun / 0.16) ** 2)))
    angle = 0.25 * np.sin(6 * x + 4 * y) + 0.35
    for base, height, codes in (
        (0.4, 0.05, ("5a4a9c", "7a64b4", "4a5fa0")),
        (0.47, 0.04, ("31528c", "3f7f8c", "6a9f80")),
    ):
        below = smoothstep(-0.004, 0.004, y - ridge(rng, n, base, height, 2)[None])
        image = mix(image, ramp(palette(*codes), noise(rng, n, 8, 3)), below)
    near = np.clip((y - 0.5) / 0.5, 0, 1)
    field = y > 0.5 + 0.02 * np.sin(5 * x)
    rows = 0.5 + 0.5 * np.sin((x - 0.62) / (0.06 + 0.55 * near) * 13)
    meadow = ramp(
        palette("1d4a44", "3c8a4c", "8fbf4a", "6a55b0", "a98be0"),
        np.clip(0.75 * rows + 0.5 * (noise(rng, n, 26, 3) - 0.5) + 0.1, 0, 1),
    )
    image = np.where(field[..., None], meadow, image)
    angle = np.where(field, -np.pi / 2 + 0.9 * (x - 0.62) + 0.3 * (tooth - 0.5), angle)

    dark, pale = palette("1a1430", "3a2a50")
    canvas = Canvas(rng, mix(dark[None, None], pale[None, None], tooth), hairs=4)
    brush_over(rng, canvas, image, angle, (0.1, 0.03), 0.6, 0.05, 0.3, opacity=0.8, dryness=0.2)
    brush_over(rng, canvas, image, angle, (0.075, 0.016), 0.6, 0.11, 0.45, dryness=0.25)
    light = np.clip(image * 1.15, 0, 1)
    brush_over(rng, canvas, light, angle, (0.055, 0.009), 1.0, 0.14, 0.5, dryness=0.2)
    stems, reds = palette("17402c", "5f9a3c"), palette("b8121c", "ff4a24", "ff7a3c", "e81e3c")
    hearts = palette("14081a", "3c1030")
    for depth in np.sort(rng.random(120)):
        fy, r = 0.54 + 0.44 * depth, 0.006 + 0.032 * depth**1.6
        fx = rng.uniform(-0.02, 1.02)
        canvas.dab((fx * n, (fy + 1.9 * r) * n), 1.5, (4 * r * n, 0.2 * r * n), tuple(stems), 3)
        for petal in range(5):
            turn = TAU * petal / 5 + rng.normal(0, 0.2)
            at = ((fx + 0.5 * r * np.cos(turn)) * n, (fy + 0.36 * r * np.sin(turn)) * n)
            pair = reds[rng.integers(4, size=2)]
            canvas.dab(at, turn, (1.3 * r * n, 1.1 * r * n), tuple(pair), petal, dryness=0.03)
        for seed in rng.normal(0, 0.16 * r, (5, 2)):
            at = ((fx + seed[0]) * n, (fy + seed[1]) * n)
            canvas.dab(at, 0.0, (0.3 * r * n, 0.3 * r * n), tuple(hearts), 5, dryness=0.0)
    chalk = smoothstep(0.22, 0.5, tooth + 0.3 * (canvas.height - 0.4))
    bare = 0.45 * canvas.color + 0.55 * palette("2a1c48")[0]
    return relight(mix(bare, canvas.color, chalk), tooth, 0.9 * n / SIZE)


def paint_stained_glass(rng: Generator, n: int) -> Array:
    """Leaded cathedral glass: a sun over hills and a river, lit from behind."""
    m = n * 4 // 3
    x, y = grid(m)
    sun = (0.52, 0.36)
    hills = [
        0.6 + 0.055 * np.sin(6 * x + 0.4) + 0.02 * np.sin(17 * x),
        0.7 + 0.06 * np.sin(5 * x + 2.6),
        0.82 + 0.05 * np.sin(7 * x + 4.6),
        0.93 - 0.07 * np.sin(4.2 * x + 0.3),
    ]
    radius = np.hypot(x - sun[0], y - sun[1])
    region = np.where(radius < 0.13, 1, 0)
    gap = np.abs(radius - 0.13)
    for band in (0.27, 0.45):
        gap = np.minimum(gap, np.where(y < hills[0], np.abs(radius - band), 1))
        region = np.where(radius > band, region + 10, region)
    for k, line in enumerate(hills):
        slope = np.sqrt(1 + (np.gradient(line[0]) * m) ** 2)[None]
        gap = np.where(y > line, np.abs(y - line) / slope, np.minimum(gap, abs(y - line) / slope))
        region = np.where(y > line, 100 + k, region)

    course = np.abs(x - 0.5 - 0.16 * np.sin(9 * y + 0.6)) - (0.02 + 0.2 * (y - 0.6))
    land = region >= 100
    gap = np.where(land, np.minimum(gap, np.abs(course) * 0.6), gap)
    region = np.where(land & (course < 0), region + 50, region)

    # Panes are Voronoi cells within each region: seeds on rings round the sun, rows in the land.
    rings = [np.array([[sun[0], sun[1]]])]
    for r, count in ((0.09, 9), (0.17, 15), (0.235, 19), (0.32, 23), (0.4, 27), (0.5, 29)):
        ring = ring_points(sun, r, count)
        rings.append(ring + rng.normal(0, 0.008, ring.shape))
    rings += [ring_points(sun, r, round(60 * r)) for r in (0.6, 0.7, 0.8)]
    across, down = np.meshgrid(np.arange(0, 1.1, 0.062), np.arange(0.52, 1.05, 0.05))
    rows = np.stack([across, down], -1).reshape(-1, 2)
    rows = rows + rng.normal(0, 0.01, rows.shape)
    seeds = [p for p in np.concatenate(rings) if pixel_at(region, p * m) < 100]
    seeds += [p for p in rows if pixel_at(region, p * m) >= 100]
    first = np.full((m, m), 99.0, np.float32)
    second, owner = first + 1, np.zeros((m, m), np.int32)
    for k, (px, py) in enumerate(seeds):
        home = pixel_at(region, (px * m, py * m))
        d = np.hypot(x - np.float32(px), y - np.float32(py)) + np.float32(9) * (region != home)
        nearer = d < first
        second = np.where(nearer, first, np.minimum(second, d))
        owner, first = np.where(nearer, k, owner), np.where(nearer, d, first)
    gap = np.minimum(gap, (second - first) * 0.5)

    gold = palette("fff0a0", "ffd23c", "ffb020", "ff8a1a")
    sky = palette("ff5a2a", "e8275a", "a8249c", "5a2ac8", "1f4fd8", "1a8ae0", "3cc8e8")
    greens = palette("0f7a5a", "1fa85a", "7cc83c", "d8d83c", "0c5a7a", "1a8a9a")
    pane = rng.random(1 << 12).astype(np.float32)[(owner * 31 + region * 7) % (1 << 12)]
    color = ramp(sky, np.clip(radius / 0.72 - 0.12 + 0.24 * (pane - 0.5), 0, 1))
    color = np.where((radius < 0.13)[..., None], ramp(gold, pane), color)
    color = np.where(land[..., None], ramp(greens, pane), color)
    river = palette("1fb8d8", "8ae8f0", "1a6ad0")
    color = np.where((region >= 150)[..., None], ramp(river, pane), color)

    swirl = noise(rng, m, (7, 18), 4)
    seedy = noise(rng, m, 90, 2)
    glow = 0.5 + 0.62 * smoothstep(0.0, 0.03, gap) + 0.5 * (swirl - 0.5) + 0.35 * (pane - 0.5)
    glow = glow + 0.25 * smoothstep(0.72, 0.95, seedy) + 0.3 * np.exp(-((radius / 0.3) ** 2))
    glass = 1 - (1 - np.clip(color * glow[..., None], 0, 1)) ** (1 + 0.35 * swirl[..., None])
    width = 0.0046 + 0.0016 * (noise(rng, m, 30, 2) - 0.5)
    lead = 1 - smoothstep(0.85, 1.15, gap / width)
    dome = np.sqrt(np.clip(1 - (gap / width) ** 2, 0, 1))
    metal = palette("15161c")[0] + 0.11 * noise(rng, m, 120, 2)[..., None]
    metal = relight(np.clip(metal, 0, 1), dome * width * m, 1.2, gloss=0.55)
    halo = blur(glass * (1 - lead)[..., None], m / 90)
    glass = np.clip(relight(glass, swirl, 9 * m / 1152, 0.1) * 0.9 + 0.28 * halo, 0, 1)
    return shrink(np.clip(mix(glass, metal + 0.12 * halo, lead), 0, 1), n)


def gouges(
    rng: Generator, n: int, angle: Array, tone: Array, spacing: float, length: float
) -> list[Array]:
    """Tapered cuts along `angle`; they swell with `tone`, and vanish where it nears 0."""
    cuts = []
    for point in scatter(rng, n, spacing * n) / n:
        spot = point * n
        light = float(pixel_at(tone, spot)) * rng.uniform(0.65, 1.35)
        if light < 0.1:
            continue
        reach = length * rng.uniform(0.6, 1.25)
        spine = [point]
        theta = float(pixel_at(angle, spot))
        for _ in range(6):
            spine.append(spine[-1] + reach / 6 * np.array([math.cos(theta), math.sin(theta)]))
            turn = float(pixel_at(angle, spine[-1] * n)) - theta
            theta += 0.9 * math.atan2(math.sin(turn), math.cos(turn))
        path = np.array(spine) - (spine[3] - point)
        run = np.gradient(path, axis=0)
        normal = np.stack([-run[:, 1], run[:, 0]], -1) / np.hypot(*run.T)[:, None]
        swell = np.array([0.05, 0.5, 0.85, 1.0, 0.9, 0.6, 0.15])[:, None]
        half = normal * swell * spacing * min(0.45, 0.06 + 0.4 * light)
        cuts.append(np.concatenate([path + half, (path - half)[::-1]]))
    return cuts


def paint_linocut(rng: Generator, n: int) -> Array:
    """Two-block linocut, black over vermilion and ochre: reeds and a lake under a great sun."""
    x, y = grid(n)
    sun = (0.6, 0.33)
    radius = np.hypot(x - sun[0], y - sun[1])
    lake = 0.66
    angle = np.arctan2(y - sun[1], x - sun[0])
    tone = np.clip(1.0 - 1.05 * radius, 0.14, 1)
    tone = np.where(np.sin(angle * 18 + 0.4 * np.sin(radius * 30)) > 0, tone, 0.42 * tone)
    tone = np.where(radius < 0.17, 1.0, tone)
    angle = np.where(radius < 0.17, angle + np.pi / 2, angle)
    ink = [np.abs(radius - 0.17) < 0.005]
    for base, height, cells, bright in ((0.55, 0.13, 3, 0.55), (0.63, 0.09, 4, 0.36)):
        line = ridge(rng, n, base, height, cells)[None]
        inside = (y > line) & (y < lake)
        lit = np.gradient(line[0]) * n
        face = np.clip(bright - 0.9 * lit, 0.0, 1)[None] * (1.1 - (y - line) / 0.25)
        tone = np.where(inside, np.clip(face, 0, 1), tone)
        fall = 0.9 * np.pi / 2 - 0.5 * np.arctan(lit)[None] + 1.2 * (noise(rng, n, 12, 2) - 0.5)
        angle = np.where(inside, fall, angle)
        ink.append((np.abs(y - line) < 0.005) & (y < lake))
    wet = y > lake
    ripple = np.sin(150 * (y - lake) / (0.5 + y) + 2.5 * np.sin(7 * x) + 4 * noise(rng, n, 4, 2))
    glitter = np.exp(-(((x - sun[0]) / (0.08 + 0.5 * (y - lake))) ** 2))
    tone = np.where(wet, np.clip(0.1 + 0.8 * glitter + 0.3 * ripple, 0, 1), tone)
    angle = np.where(wet, 0.14 * np.sin(9 * x + 20 * y), angle)

    cuts = gouges(rng, n, angle, tone, 0.0125, 0.05)
    fine = np.where(radius < 0.17, 0.0, np.where(wet, 0.8 * tone, tone - 0.45))
    cuts += gouges(rng, n, angle, fine, 0.009, 0.024)
    carved = stencil(n, cuts)
    carved = np.where(np.any(ink, axis=0), 0, carved)

    # Reeds stay in relief: uncut black, with a carved light edge.
    blades, edges = [], []
    for root in np.concatenate([rng.normal(0.12, 0.08, 42), rng.normal(0.93, 0.05, 20)]):
        tall, lean = rng.uniform(0.2, 0.62), rng.normal(0.05, 0.12)
        t = np.linspace(0, 1, 12)
        spine = np.stack([root + lean * t**2, 1.02 - tall * t], -1)
        half = np.stack([0.0065 * (1 - t) + 0.001, np.zeros(12)], -1)
        blades.append(np.concatenate([spine + half, (spine - half)[::-1]]))
        edges.append(np.concatenate([spine + 1.9 * half + 0.002, (spine - 1.9 * half)[::-1]]))
        if rng.random() < 0.4:
            head = spine[-1] + np.array([0, 0.02])
            pod = np.stack([0.009 * np.cos(t * TAU), 0.03 * np.sin(t * TAU)], -1)
            blades.append(head + pod)
            edges.append(head + 1.35 * pod)
    carved = np.maximum(carved, stencil(n, edges)) * (1 - stencil(n, blades))

    red, ochre, cream, black = palette("d8341e", "eda63a", "f4e6c8", "17141a")
    under = mix(cream[None, None], ochre[None, None], smoothstep(0.5, 0.2, y) * (y < lake))
    under = mix(under, ochre[None, None], np.where(wet, smoothstep(0.66, 1.0, y), 0))
    disc = smoothstep(0.004, -0.004, np.hypot(x - sun[0] - 0.006, y - sun[1] + 0.004) - 0.172)
    path = wet & (glitter + 0.5 * ripple + 0.5 * (noise(rng, n, (12, 40), 2) - 0.5) > 0.72)
    under = mix(under, red[None, None], np.maximum(disc, path))
    salt = noise(rng, n, n / 3, 2)
    solid = (1 - wobble(rng, carved, 0.0016, 60)) * smoothstep(0.02, 0.3, salt)
    chatter = smoothstep(0.83, 0.9, noise(rng, n, (n / 4, 40), 2)) * 0.5
    under = under * (0.94 + 0.1 * paper_grain(rng, n)[..., None])
    return np.clip(mix(under, black[None, None], solid * (1 - chatter * (carved > 0.02))), 0, 1)


def paint_great_waves(rng: Generator, n: int) -> Array:
    """Woodblock print: ranks of curling indigo waves throwing foam at a coral sky."""
    m = 2 * n
    x, y = grid(m)
    bokashi = np.clip(y / 0.5 + 0.06 * (noise(rng, m, (2, 8)) - 0.5), 0, 1)
    sheet = ramp(palette("d9694e", "eba276", "f3d2a4", "f6e6c6"), bokashi)
    disc = smoothstep(0.002, -0.002, np.hypot(x - 0.7, y - 0.19) - 0.115)
    sheet = mix(sheet, palette("c22f2a")[None], disc)
    for row in range(16):  # bars of cloud, tapering to points
        cy, cx = 0.02 + 0.023 * row, rng.uniform(0, 1)
        half, thick = rng.uniform(0.15, 0.4), rng.uniform(0.004, 0.0085)
        taper = np.clip(1 - ((x - cx) / half) ** 2, 0, 1) ** 0.35 * thick
        bar = smoothstep(0.0, 0.0015, taper - np.abs(y - cy - 0.005 * np.sin(14 * x + row)))
        sheet = mix(sheet, palette("fbf0d8", "c9603f")[row % 2][None, None], 0.85 * bar)

    bands = palette("f7efdc", "16305c", "9cc4cc", "1f4f86", "f2ead6", "2a6a9c", "16305c", "5f9fb8")
    bands = np.concatenate([bands, palette("12264c", "2f78a4", "12264c", "79b2c0")])
    for depth in np.linspace(0, 1, 8):
        radius = 0.075 + 0.14 * depth
        base = 0.37 + 0.72 * depth**1.15
        count = int(1.3 / (1.35 * radius)) + 2
        shift = rng.uniform(0, radius)
        for k in rng.permutation(count):
            cx = -0.15 + k * 1.35 * radius + shift + rng.normal(0, 0.1 * radius)
            cy = base + rng.normal(0, 0.14 * radius)
            r = radius * rng.uniform(0.85, 1.2)
            draw_wave(rng, sheet, (cx, cy), r, bands)
    sheet = wobble(rng, sheet, 0.0022, 22, 4)
    wood = noise(rng, m, (3, 150), 3)
    grain = 0.5 + 0.5 * np.sin(60 * (y + 0.35 * noise(rng, m, (2, 3), 2)))
    sheet = sheet * (0.9 + 0.13 * wood + 0.05 * grain)[..., None]
    fleck = smoothstep(0.78, 0.9, noise(rng, m, m / 5, 2))
    sheet = mix(sheet, palette("f7efdc")[None], 0.22 * fleck)
    return shrink(np.clip(sheet, 0, 1), n)


def draw_wave(
    rng: Generator, sheet: Array, center: tuple[float, float], radius: float, bands: Array
) -> None:
    """One wave in place: a banded swell whose crest curls into a hook fringed with foam."""
    m = len(sheet)
    left, right = (int(np.clip((center[0] + s * 1.6 * radius) * m, 0, m)) for s in (-1, 1))
    top = int(np.clip((center[1] - 1.6 * radius) * m, 0, m))
    bottom = int(np.clip((center[1] + 2.6 * radius) * m, 0, m))
    if left >= right or top >= bottom:
        return
    px = ((np.arange(left, right, dtype=np.float32) + 0.5) / m - center[0])[None] / radius
    py = ((np.arange(top, bottom, dtype=np.float32) + 0.5) / m - center[1])[:, None] / radius
    # A spiral distance: rings drift inwards with the angle, so the bands wind into the crest.
    turn = np.arctan2(py, -px)
    ring = np.hypot(px, py * 0.96) + 0.075 * turn
    edge = np.where(py > 0, np.abs(px), ring)
    tone = np.where(py > 0, np.minimum(np.abs(px) + 0.1 * np.sin(3 * py), 1), ring)
    index = np.clip(((1 - tone) * 12.5).astype(np.int32), 0, len(bands) - 1)
    view = sheet[top:bottom, left:right]
    soft = 1.5 / (radius * m)
    cover = smoothstep(1 + soft, 1 - soft, edge)
    stripe = np.abs(((1 - tone) * 12.5) % 1 - 0.5)
    line = smoothstep(0.42, 0.47, stripe)[..., None] * 0.55
    color = bands[index] * (1 - line) + palette("10203f")[0] * line
    view += (color - view) * cover[..., None]
    cream, ink = palette("fbf5e4", "142a52")
    for a in np.linspace(-0.1, 2.7, 30) + rng.normal(0, 0.03, 30):
        reach = radius * (1.02 - 0.075 * a + rng.normal(0, 0.03))
        size = radius * rng.uniform(0.05, 0.1)
        at = (center[0] - reach * math.cos(a), center[1] - reach * math.sin(a))
        disc_on(sheet, at, 1.22 * size, ink)
        disc_on(sheet, at, 0.9 * size, cream)
    for _ in range(14):
        a, reach = rng.uniform(0.3, 2.6), radius * rng.uniform(1.12, 1.5)
        at = (center[0] - reach * math.cos(a), center[1] - reach * math.sin(a))
        disc_on(sheet, at, radius * rng.uniform(0.012, 0.032), cream)


def halftone(tone: Array, x: Array, y: Array, pitch: float, angle: float) -> Array:
    """Round screen dots, `pitch` apart, that cover the share `tone` of the sheet."""
    u = (x * math.cos(angle) + y * math.sin(angle)) * (TAU / pitch)
    v = (y * math.cos(angle) - x * math.sin(angle)) * (TAU / pitch)
    return smoothstep(-0.09, 0.09, tone - (0.5 - 0.25 * (np.cos(u) + np.cos(v))))


def paint_riso_tropics(rng: Generator, n: int) -> Array:
    """Risograph in fluorescent pink, yellow and teal: a striped sun between palm leaves."""
    m = 2 * n
    x, y = grid(m)
    sun = (0.5, 0.42)
    radius = np.hypot(x - sun[0], y - sun[1])
    sea = 0.64
    slot = np.clip((y - 0.36) * 3.2, 0, 0.75)
    disc = (radius < 0.27) & (y < sea) & (np.sin((y - 0.36) * 130) < 0.95 - 2 * slot * (y > 0.36))
    yellow = np.where(disc, 0.95, np.clip(0.1 + 0.75 * (y - 0.1) / 0.5, 0, 0.7))
    pink = np.where(disc, np.clip((y - 0.2) * 2.1, 0.06, 0.95), np.clip(0.75 - 1.1 * y, 0.04, 1))
    teal = np.where(disc, 0.0, np.clip(0.42 - 0.95 * y, 0.0, 1))
    rays = np.sin(np.arctan2(y - sun[1], x - sun[0]) * 22) > 0
    pink = np.where(~disc & rays & (radius > 0.3) & (y < sea), pink * 0.45 + 0.3, pink)
    for base, height, cells, inks in (
        (0.56, 0.07, 3, (0.35, 0.75, 0.2)),
        (0.62, 0.05, 4, (0.1, 0.9, 0.62)),
    ):
        line = ridge(rng, m, base, height, cells)[None]
        inside = (y > line) & (y < sea)
        fade = np.clip(1.15 - (y - line) / 0.12, 0.3, 1)
        yellow = np.where(inside, inks[0], yellow)
        pink = np.where(inside, inks[1] * fade, pink)
        teal = np.where(inside, inks[2] * fade, teal)
    wet = y > sea
    depth = np.clip((y - sea) / (1 - sea), 0, 1)
    swell = np.sin(55 * np.sqrt(depth + 0.02) + 2.5 * np.sin(6 * x) + 1.2 * np.sin(17 * x))
    glint = np.abs(x - sun[0]) < 0.26 - 0.16 * depth + 0.05 * swell
    teal = np.where(wet, np.where(swell > 0.1, 0.85, 0.38 + 0.2 * depth), teal)
    pink = np.where(wet, np.where(glint & (swell < 0.35), 0.85, 0.1 + 0.4 * depth), pink)
    yellow = np.where(wet, np.where(glint & (swell < 0.35), 0.9, 0.25), yellow)
    teal = np.where(wet & glint & (swell < 0.35), 0.0, teal)

    leaves, veins = palm_leaves(rng)
    shade = stencil(m, leaves, 1)
    light = stencil(m, veins, 1)
    tilt = noise(rng, m, 5, 2)
    teal = np.where(shade > 0.5, 0.94 - 0.45 * light, teal)
    pink = np.where(shade > 0.5, np.clip(1.5 * (tilt - 0.4), 0.0, 0.85), pink)
    yellow = np.where(shade > 0.5, np.clip(0.95 - 0.6 * tilt, 0, 1), yellow)

    sheet = np.broadcast_to(palette("f7f1e3")[0], (m, m, 3)) * (
        0.96 + 0.06 * paper_grain(rng, m)[..., None]
    )
    inks = zip(
        (yellow, pink, teal),
        palette("ffe600", "ff3f9e", "00757f"),
        (0.0, 0.32, 1.05),
        ((0.0, 0.0), (0.0042, -0.003), (-0.003, 0.0035)),
        strict=False,
    )
    for tone, ink, angle, (dx, dy) in inks:
        moved = sample(tone.astype(np.float32), x + dx, y + dy)
        dots = halftone(moved * 1.04 - 0.02, x, y, 0.0098, angle)
        patchy = 0.8 + 0.28 * noise(rng, m, 5, 3)
        fleck = 1 - 0.75 * smoothstep(0.76, 0.86, noise(rng, m, m / 3, 2))
        cover = np.clip(dots * patchy * fleck, 0, 1)
        sheet = sheet * (1 - cover[..., None] * (1 - ink))
    return shrink(np.clip(sheet, 0, 1), n)


def palm_leaves(rng: Generator) -> tuple[list[Array], list[Array]]:
    """Fronds reaching in from the corners: the leaflets, and a vein down each of them."""
    leaves, veins = [], []
    fronds = [((-0.04, 0.3), -0.9, 0.36), ((-0.05, 0.95), -1.0, 0.5), ((0.02, 1.06), -0.5, 0.3)]
    fronds += [((1.05, 0.34), -2.2, 0.36), ((1.05, 0.98), -2.1, 0.46), ((0.02, -0.06), 0.75, 0.36)]
    fronds += [((0.98, -0.06), 2.3, 0.34)]
    for root, heading, reach in fronds:
        bend = rng.uniform(0.5, 0.9) * (1 if math.cos(heading) > 0 else -1)
        for t in np.linspace(0.1, 1, 12):
            theta = heading + bend * t
            at = np.array(root) + reach * t * np.array(
                [math.cos(heading + bend * t / 2), math.sin(heading + bend * t / 2)]
            )
            for side in (-1, 1):
                tip = theta + side * (1.15 - 0.75 * t) + rng.normal(0, 0.05)
                long = reach * 0.5 * (1 - 0.55 * t) * rng.uniform(0.85, 1.1)
                run = np.array([math.cos(tip), math.sin(tip)])
                across = np.array([-run[1], run[0]])
                s = np.linspace(0, 1, 10)[:, None]
                spine = at + long * s * run + side * 0.16 * long * s**2 * across
                half = across * 0.014 * np.sin(np.pi * s**0.7)
                leaves.append(np.concatenate([spine + half, (spine - half)[::-1]]))
                veins.append(np.concatenate([spine + 0.13 * half, (spine - 0.13 * half)[::-1]]))
    return leaves, veins


def paint_geometric_concert(rng: Generator, n: int) -> Array:
    """Abstraction after music: rings, wedges, chequers and black lines on a glowing ground."""
    m = 2 * n
    ground = ramp(palette("e9c98f", "f3e2bd", "f0b58a", "b9cfc4", "e9d7a8"), noise(rng, m, 2.2, 3))
    sheet = Image.fromarray((ground * 255).astype(np.uint8))
    pen = ImageDraw.Draw(sheet, "RGBA")
    inks = palette("d8262c", "f2a51f", "1c4fa0", "12263f", "1f8f86", "f6d64a", "7a2a6a", "e8743c")
    inks = np.concatenate([inks, palette("f5ead2", "8fc1d8", "e58aa0", "14141c")])

    def rgba(k: int, alpha: float) -> tuple[int, ...]:
        return (*(int(255 * c) for c in inks[k % len(inks)]), int(255 * alpha))

    def turned(center: Array, angle: float, corners: Array) -> list[tuple[float, float]]:
        c, s = math.cos(angle), math.sin(angle)
        spots = (center + corners @ np.array([[c, s], [-s, c]])) * m
        return [(float(a), float(b)) for a, b in spots]

    def disc(cx: float, cy: float, r: float, k: int, alpha: float) -> None:
        pen.ellipse([(cx - r) * m, (cy - r) * m, (cx + r) * m, (cy + r) * m], rgba(k, alpha))

    for _ in range(26):  # large translucent planes
        at, angle = rng.random(2), rng.uniform(0, TAU)
        a, b = rng.uniform(0.1, 0.42), rng.uniform(0.05, 0.2)
        kind = rng.integers(3)
        corners = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
        if kind == 0:
            corners = np.array([[-a, b], [a, b * 0.4], [0.1 * a, -1.6 * b]])
        elif kind == 1:
            corners = ring_points((0, 0), a * 0.55)
        pen.polygon(turned(at, angle, corners), rgba(int(rng.integers(12)), rng.uniform(0.35, 0.8)))
    for at, cell in (((0.12, 0.72), 0.034), ((0.74, 0.08), 0.026), ((0.62, 0.82), 0.03)):
        angle = rng.uniform(-0.6, 0.6)
        for i in range(7):
            for j in range(5):
                corner = np.array([i, j]) * cell
                box = corner + cell * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
                ink = 11 if (i + j) % 2 else int(rng.choice([8, 5, 9, 0]))
                pen.polygon(turned(np.array(at), angle, box), rgba(ink, 0.92))

    targets = [(0.3, 0.28, 0.2), (0.77, 0.55, 0.16), (0.42, 0.72, 0.13), (0.88, 0.2, 0.1)]
    while len(targets) < 34:
        cx, cy, r = *rng.random(2), rng.uniform(0.014, 0.075)
        if all(math.hypot(cx - a, cy - b) > r + 0.75 * c for a, b, c in targets):
            targets.append((cx, cy, r))
    for cx, cy, r in targets:
        disc(cx, cy, 1.32 * r, int(rng.integers(12)), 0.28)
        steps = max(2, int(r / 0.017))
        order = rng.permutation(12)
        for step in range(steps):
            size = r * (1 - step / steps) ** 0.85
            disc(cx, cy, size, 11, 0.9)
            disc(cx, cy, size - 0.0026, int(order[step % 12]), 0.95)
    for _ in range(15):  # arcs and fans
        cx, cy, r = *rng.random(2), rng.uniform(0.05, 0.24)
        start, sweep = rng.uniform(0, 360), rng.uniform(50, 170)
        for _ in range(int(rng.integers(1, 5))):
            box = [(cx - r) * m, (cy - r) * m, (cx + r) * m, (cy + r) * m]
            wide = max(2, int(rng.uniform(0.002, 0.008) * m))
            pen.arc(box, start, start + sweep, rgba(int(rng.integers(12)), 0.92), wide)
            r *= 0.84
    for _ in range(34):  # struck lines, singly and in sheaves
        at, angle, long = rng.random(2), rng.uniform(0, TAU), rng.uniform(0.08, 0.55)
        wide, ink = rng.uniform(0.0008, 0.0034), int(rng.choice([11, 11, 11, 3, 0, 8]))
        for k in range(int(rng.choice([1, 1, 1, 1, 1, 1, 5]))):
            shift = np.array([0, 0.011 * k])
            line = np.array([[-1, -1], [1, -0.3], [1, 0.3], [-1, 1]]) * [long / 2, wide] + shift
            pen.polygon(turned(at, angle, line), rgba(ink, 0.95))
    for _ in range(70):
        disc(rng.random(), rng.random(), rng.uniform(0.003, 0.011), int(rng.integers(12)), 1.0)

    image = shrink(np.asarray(sheet, np.float32) / 255, n)
    image = wobble(rng, image, 0.003, 14, 4)
    streaks = wobble(rng, noise(rng, n, (16, 170), 3), 0.09, 3)
    pigment = noise(rng, n, 7, 5)
    image = image * (0.82 + 0.24 * streaks + 0.12 * pigment)[..., None]
    image = mix(image, ground[::2, ::2], 0.4 * smoothstep(0.68, 0.9, paper_grain(rng, n)))
    contrast = blur(luminance(image), n / 500)
    weave = 0.45 * streaks + 1.2 * contrast + 0.35 * paper_grain(rng, n)
    return relight(image, weave, 2.6 * n / SIZE, gloss=0.05)


def paint_byzantine_mosaic(rng: Generator, n: int) -> Array:
    """Glass and gold tesserae: rings of sky round a sun, over a sea laid in waves."""
    m = 3 * n
    pitch = 0.0165
    sun = np.array([0.5, 0.36])
    gold = palette("fff0b0", "f6cf5a", "e0a52c", "b87a1c")
    night = palette("f2d27a", "e58a4a", "b8404a", "6a2a6a", "2a3a8c", "1c5aa8", "2f8fc0", "123066")
    ocean = palette("0c2a4a", "0f5a72", "1f9a98", "7fd0b8", "eaf2d8")

    tiles: list[tuple[Array, Array]] = [(ring_points((sun[0], sun[1]), 0.9 * pitch, 6), gold[0])]
    for ring in range(1, 52):
        r = ring * pitch
        count = max(5, round(TAU * r / pitch))
        phase = rng.uniform(0, 1)
        for k in range(count):
            a = (np.array([k + 0.07, k + 0.93, k + 0.93, k + 0.07]) + phase) * TAU / count
            d = r + pitch * np.array([0.06, 0.06, 0.92, 0.92])
            quad = sun + np.stack([d * np.cos(a), d * np.sin(a)], -1)
            middle, turn = quad.mean(0), float(a.mean())
            flare = 0.5 + 0.5 * math.cos(12 * turn)
            if r < 0.125:
                color = gold[min(3, int(ring / 2.2))]
            elif r < 0.14 + 0.12 * flare**1.5:
                color = gold[int(rng.integers(1, 4))]
            else:
                t = (r - 0.14) / 0.58 + 0.07 * math.sin(5 * turn + ring * 0.35)
                color = ramp(night, np.array([np.clip(t + rng.normal(0, 0.035), 0, 1)]))[0]
                if rng.random() < 0.06:
                    color = gold[int(rng.integers(3))]
            if middle[1] < shoreline(middle[0]):
                tiles.append((quad, color))
    for row in range(30):
        k, shift = row * pitch, rng.uniform(0, pitch)
        for x0 in np.arange(-pitch, 1 + pitch, pitch * 1.12) + shift:
            xs = x0 + pitch * np.array([0.06, 1.04, 1.04, 0.06])
            swell = 1 + 0.6 * math.sin(row * 0.55)
            ys = np.array([shoreline(v, swell) for v in xs])
            quad = np.stack([xs, ys + k + pitch * np.array([0.06, 0.06, 0.92, 0.92])], -1)
            crest = 0.5 + 0.5 * math.sin(row * 1.15 + 2.2 * math.sin(9 * x0) + 9 * x0 * 0.5)
            color = ramp(ocean, np.array([np.clip(crest**1.6 + rng.normal(0, 0.08), 0, 1)]))[0]
            if abs(x0 - sun[0]) < 0.05 + 0.16 * k and rng.random() < 0.55:
                color = gold[int(rng.integers(4))]
            tiles.append((quad, color))

    sheet = Image.new("RGB", (m, m), (52, 44, 44))
    mask, tilt = Image.new("L", (m, m)), Image.new("L", (m, m), 128)
    pens = [ImageDraw.Draw(layer) for layer in (sheet, mask, tilt)]
    for quad, color in tiles:
        quad = quad + rng.normal(0, pitch * 0.035, quad.shape)
        tone = np.clip(color * rng.uniform(0.8, 1.16) + rng.normal(0, 0.025, 3), 0, 1)
        outline = [(float(a) * m, float(b) * m) for a, b in quad]
        fills = (tuple(int(255 * c) for c in tone), 255, int(rng.integers(60, 200)))
        for pen, fill in zip(pens, fills, strict=False):
            pen.polygon(outline, fill)
    image, raised, lean = (shrink(np.asarray(a, np.float32) / 255, n) for a in (sheet, mask, tilt))
    smalti = noise(rng, n, n / 4, 3)
    image = image * (0.84 + 0.32 * smalti)[..., None]
    dome = blur(raised, n / 420) * 1.3 + 0.5 * blur(raised, n / 200) + 0.16 * smalti
    sparkle = smoothstep(0.66, 0.8, lean) * raised * luminance(image) * 0.28
    return relight(np.clip(image + sparkle[..., None], 0, 1), dome, 2.6 * n / SIZE, gloss=0.3)


def shoreline(x: float, swell: float = 1.0) -> float:
    return 0.68 + swell * 0.02 * math.sin(TAU * 2.5 * x)


def paint_pointillist_harbour(rng: Generator, n: int) -> Array:
    """Dots of pure pigment: sails crossing a harbour at sundown, seen from under a pine."""
    x, y = grid(n)
    horizon = 0.52
    sky = ramp(
        palette("3f6fc0", "7fb0e0", "f7c8b0", "ffd27a", "ff9a5a"),
        np.clip(y / horizon + 0.5 * (noise(rng, n, (2.5, 9), 4) - 0.5), 0, 1),
    )
    sun = np.hypot(x - 0.62, y - 0.42)
    sky = mix(sky, palette("fff2a8")[None], np.exp(-((sun / 0.13) ** 2)))
    depth = np.clip((y - horizon) / (1 - horizon), 0, 1)
    sea = ramp(palette("e8a0a8", "7f9ad8", "3f86d0", "2a62b4", "1f4a94"), depth)
    ripple = np.sin(90 * np.sqrt(depth + 0.01) + 3 * np.sin(8 * x) + 2 * noise(rng, n, 5, 2))
    path = np.exp(-(((x - 0.62) / (0.05 + 0.22 * depth)) ** 2)) * (0.55 + 0.45 * ripple)
    sea = mix(sea, palette("ffe07a")[None], np.clip(path, 0, 1))
    sea = mix(sea, palette("1a3f8a")[None], np.clip(-0.4 * ripple * depth, 0, 1))
    image = np.where((y > horizon)[..., None], sea, sky)
    far = ridge(rng, n, 0.475, 0.05, 3)[None]
    hills = ramp(palette("8a7ac8", "5f6fb8", "7a9ac0"), noise(rng, n, 9, 3))
    image = np.where(((y > far) & (y < horizon))[..., None], hills, image)
    for cx, base, tall in (
        (0.3, 0.63, 0.22),
        (0.47, 0.57, 0.11),
        (0.82, 0.6, 0.16),
        (0.7, 0.55, 0.06),
    ):
        for side, tone in ((1, "fff4dc"), (-0.6, "ffb46a")):
            top = base - tall
            sail = np.array([[cx, top], [cx, base - 0.03], [cx + side * 0.42 * tall, base - 0.03]])
            image = mix(image, palette(tone)[None], stencil(n, [sail]))
            flip = sail * [1, -0.75] + [0, 1.75 * base]
            wave = stencil(n, [flip]) * (0.4 + 0.3 * ripple)
            image = mix(image, palette(tone)[None], wave)
        hull = np.array([[-0.3, -0.02], [0.45, -0.02], [0.36, 0.035], [-0.22, 0.035]])
        hull = hull * [tall, 0.6] + [cx, base]
        image = mix(image, palette("7a2438")[None], stencil(n, [hull]))
    crown = np.hypot((x - 0.02) / 0.34, (y - 0.1) / 0.2) + 0.9 * (noise(rng, n, 9, 3) - 0.5)
    pine = ramp(palette("123a3a", "1f6a4a", "6aa83c", "c8c83c"), noise(rng, n, 14, 3))
    image = mix(image, pine, smoothstep(1.0, 0.85, crown))
    trunk = np.abs(x - 0.045 - 0.03 * np.sin(6 * y)) < 0.018 + 0.012 * y
    image = mix(image, palette("6a2f4a")[None], (trunk & (y > 0.08)).astype(np.float32))
    shore = y > 0.9 - 0.16 * (1 - x) ** 2 + 0.015 * np.sin(20 * x)
    grass = ramp(palette("1a5a4a", "4a9a3c", "c8d24a", "f0a83c"), noise(rng, n, 12, 3))
    image = np.where(shore[..., None], grass, image)

    pigments = palette("fff6dc", "ffe04a", "ffb02a", "ff7a2a", "e83a3a", "d8508a", "a05ac0")
    pigments = np.concatenate([pigments, palette("5a4ab8", "2a4ab0", "2a7ad0", "5ab8e8", "a8dcf0")])
    pigments = np.concatenate([pigments, palette("1a7a6a", "3aa05a", "9ac83a", "143a5a", "f7b8a8")])
    sheet = Image.fromarray((blur(image, n / 60) * [232, 214, 196]).astype(np.uint8))
    sheet = sheet.resize((2 * n, 2 * n))
    relief = Image.new("L", sheet.size)
    pen, stamp = ImageDraw.Draw(sheet), ImageDraw.Draw(relief)
    for spacing, radius, stray in (
        (0.0085, 0.0066, 0.2),
        (0.0072, 0.005, 0.15),
        (0.0078, 0.0037, 0.2),
    ):
        points = scatter(rng, n, spacing * n)
        ix, iy = np.clip(points, 0, n - 1).astype(np.int32).T
        wanted = image[iy, ix] + rng.normal(0, stray, (len(points), 3)) * [1.0, 0.7, 1.0]
        choice = ((wanted[:, None] - pigments) ** 2).sum(-1).argmin(1)
        tones = np.clip(pigments[choice] + rng.normal(0, 0.03, wanted.shape), 0, 1) * 255
        sizes = radius * n * rng.uniform(0.75, 1.2, len(points))
        for (px, py), r, tone in zip(points, sizes, tones.astype(int), strict=False):
            box = [2 * (px - r), 2 * (py - 0.92 * r), 2 * (px + r), 2 * (py + 0.92 * r)]
            pen.ellipse(box, tuple(tone))
            stamp.ellipse(box, int(rng.integers(90, 255)))
    image = shrink(np.asarray(sheet, np.float32) / 255, n)
    height = blur(shrink(np.asarray(relief, np.float32) / 255, n), n / 900)
    canvas = 0.25 * noise(rng, n, n / 3, 2)
    return relight(image, height + canvas, 0.9 * n / SIZE, gloss=0.06)


def paint_marbled_paper(rng: Generator, n: int) -> Array:
    """Turkish marbling: rings of dropped colour drawn out by stylus and comb."""
    m = n * 3 // 2
    px, py = grid(m)
    colors = palette("f3e7cf", "0f3d4c", "b3202e", "e2a336", "1f7a7a", "14182a", "f3e7cf", "d9603a")
    drops = []
    for cx, cy in rng.permutation(scatter(rng, 1, 0.155)):
        order = rng.permutation(len(colors))
        for ring in range(5):
            drops.append((cx, cy, rng.uniform(0.045, 0.085) * (1 - 0.1 * ring), int(order[ring])))
    drops += [(*rng.uniform(-0.1, 1.1, 2), rng.uniform(0.006, 0.022), 6) for _ in range(110)]

    # Undo the tools, last one first: where did this pixel's colour lie before each of them?
    whirls = [(0.3, 0.34, 0.3, 3.4), (0.74, 0.66, 0.34, -3.6)]
    whirls += [(0.8, 0.15, 0.2, 2.6), (0.17, 0.83, 0.22, -2.6)]
    for cx, cy, radius, spin in whirls:
        dx, dy = px - cx, py - cy
        turn = spin * np.exp(-(dx**2 + dy**2) / (0.35 * radius**2))
        c, s = np.cos(turn), np.sin(turn)
        px, py = cx + c * dx - s * dy, cy + s * dx + c * dy
    px = px + 0.012 * np.sin(TAU * py * 7 + 1.0) + 0.008 * np.sin(TAU * py * 17)
    for teeth, pull in ((9, 0.1), (9, -0.1)):
        phase = 0.0 if pull > 0 else 0.5
        gap = np.abs((px * teeth + phase) % 1 - 0.5) / teeth
        py = py - pull * np.exp(-gap / 0.016)
    py = py + 0.03 * np.sin(TAU * px * 2)

    index = np.full((m, m), -1, np.int32)
    open_bath = np.ones((m, m), bool)
    for cx, cy, radius, color in reversed(drops):
        dx, dy = px - np.float32(cx), py - np.float32(cy)
        near = dx**2 + dy**2
        inside = open_bath & (near < radius**2)
        index[inside] = color
        open_bath &= ~inside
        squeeze = np.sqrt(np.maximum(1 - np.float32(radius**2) / np.maximum(near, 1e-9), 0))
        px, py = cx + dx * squeeze, cy + dy * squeeze
    index = np.where(index < 0, 1, index)
    image = shrink(colors[index], n)
    seam = luminance(image) - blur(luminance(image), n / 260)
    mottle = noise(rng, n, 60, 3)
    image = image * (0.9 + 0.1 * mottle + 0.1 * paper_grain(rng, n))[..., None]
    image = np.clip(image + 0.22 * seam[..., None], 0, 1)
    return relight(image, paper_grain(rng, n), 0.5 * n / SIZE)


def paint_neon_silk(rng: Generator, n: int) -> Array:
    """Long exposures of light on black: silk ribbons of magenta, cyan and amber in a dark wind."""
    m = n * 3 // 2
    x, y = grid(m)
    potential = noise(rng, m, 2.4, 3, 0.42) * 1.0 + 0.25 * np.hypot(x - 0.5, y - 0.5)
    gy, gx = np.gradient(potential)
    speed = np.hypot(gx, gy) + 1e-6
    flow = np.stack([gy / speed, -gx / speed], -1).astype(np.float32)
    hues = palette("ff2a8a", "ff6a3c", "ffb43c", "8a3cff", "2a6aff", "1ee0e8", "6affc8", "ff4ad8")
    starts, tints = [], []
    for _ in range(105):
        center, heading = rng.uniform(-0.05, 1.05, 2), rng.uniform(0, TAU)
        wide, pair = rng.uniform(0.05, 0.16), hues[rng.integers(len(hues), size=2)]
        t = np.linspace(-0.5, 0.5, 110)
        t = t + 0.04 * np.sin(t * rng.uniform(20, 60))
        starts.append(center + wide * t[:, None] * [math.cos(heading), math.sin(heading)])
        tints.append(ramp(pair, t + 0.5) * rng.uniform(0.3, 1.3))
    pos, tint = np.concatenate(starts).astype(np.float32), np.concatenate(tints)
    tint *= rng.uniform(0.2, 1.0, (len(tint), 1)) ** 2
    light = np.zeros((m * m, 3), np.float32)
    steps = 620
    for step in range(steps):
        fade = math.sin(math.pi * (step + 0.5) / steps) ** 0.7
        ix, iy = (pos * m).astype(np.int32).T
        inside = (ix >= 0) & (ix < m) & (iy >= 0) & (iy < m)
        flat = iy[inside] * m + ix[inside]
        np.add.at(light, flat, tint[inside] * fade)
        pos = pos + np.float32(0.85 / m) * sample(flow, pos[:, 0], pos[:, 1])
    light = light.reshape(m, m, 3)
    glow = blur(light, m / 500) * 0.8 + blur(light, m / 90) * 0.55 + blur(light, m / 22) * 0.4
    haze = ramp(palette("05030f", "120a2e", "2a0f4a", "0a2a4a", "04101f"), noise(rng, m, 3, 5))
    image = 1 - (1 - haze) * np.exp(-(0.26 * light + 0.42 * glow))
    grey = luminance(image)[..., None]
    image = np.clip(grey + 1.55 * (image - grey), 0, 1)
    stars = smoothstep(0.9, 0.97, noise(rng, m, m / 3, 1)) * 0.7 * noise(rng, m, 5, 2)
    image = np.clip(image + stars[..., None], 0, 1)
    grain = 0.93 + 0.14 * rng.random((n, n, 1), dtype=np.float32)
    return np.clip(shrink(image, n) * grain, 0, 1)


def paint_watercolour_garden(rng: Generator, n: int) -> Array:
    """Wet watercolour on rough paper: anemones and leaves, with blooms, granulation and edges."""
    x, y = grid(n)
    paper = paper_grain(rng, n)
    ragged, bloom, fine = noise(rng, n, 11, 5), noise(rng, n, 5, 4, 0.6), noise(rng, n, 40, 3)
    image = np.broadcast_to(palette("fbf6ea")[0], (n, n, 3)).copy()

    def wash(distance: Array, pigment: Array, strength: float, soft: float = 0.003) -> None:
        """Stain where `distance` (fractions of the side) is negative; it gathers at the rim."""
        near = distance < 0.03 + 2 * soft
        rows, cols = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not len(rows):
            return
        view = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        turn = int(rng.integers(4))  # look at the noise from another side for each wash
        edge = 0.03 * (np.rot90(ragged, turn)[view] - 0.5) + 0.006 * (fine[view] - 0.5)
        edge = edge + distance[view]
        pool, tooth = np.rot90(bloom, 3 - turn)[view], 0.5 - paper[view]
        rim = np.exp(-((edge / 0.0035 + 0.9) ** 2)) * (soft < 0.01)
        density = 0.3 + 0.75 * pool + 0.45 * rim + 0.6 * tooth * (0.5 + pool)
        density = density * smoothstep(soft, -soft, edge) * strength
        image[view] *= 1 - np.clip(density, 0, 0.96)[..., None] * (1 - pigment)

    for code in (
        "f2b8a0",
        "8fd0c8",
        "f6d88a",
        "b8a8e0",
        "9fd8a0",
        "f0a0b8",
        "7ab8e0",
        "f6c07a",
        "f2b8a0",
        "8fd0c8",
    ):
        blob = np.hypot(x - rng.uniform(-0.1, 1.1), y - rng.uniform(-0.1, 1.1))
        wash(blob - rng.uniform(0.16, 0.34), palette(code)[0], 0.7, soft=0.12)

    greens = palette("2f8a5a", "6ab83c", "1f6a7a", "9ac83c", "3a7aa8", "1fa08a")
    for _ in range(70):
        cx, cy, turn = rng.uniform(-0.05, 1.05), rng.uniform(0, 1.05), rng.uniform(0, TAU)
        long, wide = rng.uniform(0.08, 0.2), rng.uniform(0.012, 0.034)
        u = (x - cx) * math.cos(turn) + (y - cy) * math.sin(turn)
        v = (y - cy) * math.cos(turn) - (x - cx) * math.sin(turn) - rng.normal(0, 2) * u**2
        body = wide * (1 - (u / long) ** 2)
        wash((np.abs(v) - body) * 0.9, greens[rng.integers(6)], rng.uniform(0.55, 0.95))
        if rng.random() < 0.5:
            wash(np.maximum(np.abs(v) - 0.0016, np.abs(u) - 0.85 * long), greens[2], 0.8)

    blossoms = palette("e8305a", "f06a3c", "c02a7a", "7a3ac0", "f2a01f", "2f5ad0", "f0507a")
    spots = [(0.3, 0.3, 0.2), (0.72, 0.24, 0.17), (0.66, 0.66, 0.22), (0.2, 0.74, 0.18)]
    spots += [(0.95, 0.5, 0.13), (0.46, 0.5, 0.1), (0.48, 0.06, 0.11), (0.44, 0.93, 0.13)]
    spots += [(0.04, 0.5, 0.12), (0.92, 0.92, 0.14), (0.06, 0.06, 0.11), (0.95, 0.05, 0.08)]
    spots += [(*rng.random(2), rng.uniform(0.03, 0.055)) for _ in range(14)]
    for k, (cx, cy, r) in enumerate(sorted(spots, key=lambda spot: spot[2])):
        hue, start = blossoms[k % 7], rng.uniform(0, TAU)
        clear = np.hypot(x - cx, y - cy) - 0.9 * r
        lifted = smoothstep(0.03, -0.04, clear + 0.1 * (ragged - 0.5))[..., None]
        image[:] = image + (palette("fdf4e8")[0] - image) * 0.82 * lifted
        for layer, petals in ((1.0, 6), (0.8, 5)):
            for petal in range(petals):
                turn = start + TAU * (petal + 0.5 * (layer < 1)) / petals + rng.normal(0, 0.1)
                u = (x - cx) * math.cos(turn) + (y - cy) * math.sin(turn) - 0.52 * r * layer
                v = (y - cy) * math.cos(turn) - (x - cx) * math.sin(turn)
                spread = np.maximum(0.36 * r * (1 + 0.7 * u / r), 0.02 * r)
                shape = (np.hypot(u / (0.52 * r * layer), v / spread) - 1) * 0.35 * r
                tint = np.clip(hue + rng.normal(0, 0.06, 3), 0, 1)
                wash(shape, tint, rng.uniform(0.45, 0.7))
                wash(shape + 0.19 * r, tint, 0.35, soft=0.05 * max(r, 0.05))
        wash(np.hypot(x - cx, y - cy) - 0.15 * r, palette("1f1a3a")[0], 1.1)
        for turn in rng.uniform(0, TAU, 16 if r > 0.08 else 0):
            reach = r * rng.uniform(0.2, 0.32)
            at = (cx + reach * math.cos(turn), cy + reach * math.sin(turn))
            disc_on(image, at, 0.0035, palette("241a3c")[0])
    drops = [(*rng.random(2), 0.0012 + 0.006 * rng.random() ** 6) for _ in range(260)]
    for cx, cy, r in drops:
        tone = np.concatenate([blossoms, greens])[rng.integers(13)]
        spot = np.clip(pixel_at(image, (cx * n, cy * n)) * (0.25 + 0.75 * tone), 0, 1)
        disc_on(image, (cx, cy), r, spot)
    return relight(np.clip(image, 0, 1), paper, 0.4 * n / SIZE)


def paint_sumi_mountains(rng: Generator, n: int) -> Array:
    """Ink on old paper: peaks stepping back through mist, bamboo in front, a vermilion sun."""
    x, y = grid(n)
    fibre = noise(rng, n, (60, 220), 3)
    paper = ramp(palette("e3d3ae", "efe3c6", "f4ead2"), 0.6 * noise(rng, n, 3, 4) + 0.4 * fibre)
    sun = np.hypot(x - 0.66, y - 0.16) - 0.1 + 0.008 * (noise(rng, n, 12, 4) - 0.5)
    wash = smoothstep(0.003, -0.003, sun) * (0.72 + 0.4 * (noise(rng, n, 6, 4) - 0.5))
    paper = paper * (1 - wash[..., None] * (1 - palette("c8321f")[0]))
    ink = 0.42 * smoothstep(0.42, 0.95, noise(rng, n, (1.8, 6), 6, 0.6))
    ink *= smoothstep(-0.02, 0.06, sun)
    dry = noise(rng, n, 130, 3)
    for base, height, cells, dark in (
        (0.25, 0.13, 2.2, 0.2),
        (0.36, 0.16, 2.4, 0.32),
        (0.47, 0.19, 2.8, 0.42),
        (0.63, 0.17, 3.2, 0.6),
        (0.79, 0.13, 3.6, 0.8),
        (0.97, 0.07, 3, 0.95),
    ):
        line = ridge(rng, n, base, height, cells)[None]
        below = y - line
        inside = smoothstep(-0.002, 0.004, below)
        mist = np.exp(-np.clip(below, 0, 1) / 0.1)
        cloud = noise(rng, n, (2, 7), 4)
        ink = ink * (1 - inside * (0.55 + 0.45 * smoothstep(0.0, 0.1, below)))
        body = inside * mist * dark * (0.35 + 0.75 * noise(rng, n, 7, 5)) * (0.65 + 0.6 * cloud)
        slope = np.arctan(np.gradient(line[0]) * n)[None]
        fall = np.pi / 2 - 0.75 * slope + 1.1 * (noise(rng, n, 10, 3) - 0.5)
        tone = inside * np.clip(1.15 * mist - 0.12 + 0.7 * (cloud - 0.5), 0, 1)
        cuts = stencil(n, gouges(rng, n, fall, tone, 0.0105, 0.05))
        rough = smoothstep(0.3, 0.62, dry + 0.25 * mist)
        rim = np.exp(-((below / 0.0035) ** 2)) * smoothstep(0.3, 0.5, dry + 0.15)
        ink = np.maximum(np.maximum(ink, body), 0)
        ink = 1 - (1 - ink) * (1 - dark * 0.85 * cuts * rough) * (1 - dark * 0.8 * rim)
        trees = []
        for _ in range(int(16 + 40 * dark)):
            tx = rng.random()
            foot = float(line[0, int(tx * (n - 1))]) + rng.uniform(0.0, 0.03)
            tall = (0.018 + 0.045 * dark) * rng.uniform(0.6, 1.3)
            for tier in np.linspace(0, 1, 6):
                half = tall * (0.06 + 0.3 * tier) * rng.uniform(0.7, 1.2)
                top = foot - tall * (1 - tier)
                drop = tall * 0.16
                trees.append(
                    np.array(
                        [
                            [tx - half, top + drop],
                            [tx, top],
                            [tx + half, top + drop],
                            [tx, top + 0.4 * drop],
                        ]
                    )
                )
            trees.append(
                np.array(
                    [
                        [tx - 0.001, foot - tall],
                        [tx + 0.001, foot - tall],
                        [tx + 0.0016, foot],
                        [tx - 0.0016, foot],
                    ]
                )
            )
        needles = stencil(n, trees) * smoothstep(0.25, 0.5, dry + 0.2)
        ink = 1 - (1 - ink) * (1 - min(0.95, dark * 1.15) * needles)

    stalks, leaves = [], []
    for root, lean, wide in ((0.08, 0.05, 0.017), (0.19, 0.1, 0.011), (0.95, -0.06, 0.015)):
        for knot in np.arange(0, 1.15, 0.135):
            low, high = 1.02 - knot, 1.02 - knot - 0.127
            bottom, top = root + lean * knot, root + lean * (knot + 0.127)
            stalks.append(
                np.array(
                    [
                        [bottom - wide / 2, low],
                        [top - wide / 2.3, high],
                        [top + wide / 2.3, high],
                        [bottom + wide / 2, low],
                    ]
                )
            )
            for _ in range(int(rng.integers(2, 6))):
                heading = rng.uniform(-0.5, 1.3) if rng.random() < 0.5 else rng.uniform(1.8, 3.6)
                long, fat = rng.uniform(0.07, 0.15), rng.uniform(0.005, 0.0095)
                s = np.linspace(0, 1, 12)[:, None]
                run = np.array([math.cos(heading), math.sin(heading)])
                stem = np.array([top, high]) + 0.05 * rng.uniform(0, 1) * run
                spine = stem + long * s * run + np.array([0, 0.05]) * s**2
                half = fat * np.sin(np.pi * s**0.6) * np.array([-run[1], run[0]])
                leaves.append(np.concatenate([spine + half, (spine - half)[::-1]]))
    grainy = noise(rng, n, (90, 9), 3)
    stalk = stencil(n, stalks) * (0.5 + 0.45 * smoothstep(0.3, 0.7, grainy))
    leaf = stencil(n, leaves) * (0.72 + 0.28 * smoothstep(0.3, 0.6, noise(rng, n, 30, 3)))
    for layer in (stalk, leaf):
        ink = np.maximum(ink * (1 - 0.7 * (layer > 0.05)), 0.97 * wobble(rng, layer, 0.002, 40))
    for _ in range(90):
        at, r = rng.random(2), 0.0008 + 0.004 * rng.random() ** 5
        ink = np.maximum(ink, 0.8 * smoothstep(r + 1 / n, r, np.hypot(x - at[0], y - at[1])))
    ink = ink * (0.9 + 0.25 * (noise(rng, n, n / 4, 2) - 0.5)) + 0.05 * smoothstep(0.6, 0.9, fibre)
    tones = palette("ffffff", "b8b4ac", "6f7076", "34363e", "101218")
    return np.clip(paper * ramp(tones, np.clip(ink, 0, 1)), 0, 1)


def paint_crystal_facets(rng: Generator, n: int) -> Array:
    """Low-poly facets: aurora over ice mountains and their reflection, cut like a gemstone."""
    m = 2 * n
    cells = 21
    rows, cols = np.mgrid[-1 : cells + 2, -1 : cells + 2].astype(np.float64)
    cols = cols + 0.5 * (rows % 2)
    vertices = np.stack([cols, rows], -1) + rng.uniform(-0.34, 0.34, (*rows.shape, 2))
    vertices = vertices / cells
    relief = rng.random(rows.shape)

    facets, normals = [], []
    for i in range(len(vertices) - 1):
        for j in range(len(vertices) - 1):
            a, b, c, d = (i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1)
            pairs = ((a, b, c), (b, d, c)) if (i - 1) % 2 == 0 else ((a, b, d), (a, d, c))
            for corners in pairs:
                tri = np.array([vertices[k] for k in corners])
                high = np.array([relief[k] for k in corners]) * 0.022
                if rng.random() < 0.3:
                    middle, peak = rng.dirichlet([6, 6, 6]) @ tri, high.mean() + 0.012
                    for k in range(3):
                        facets.append(np.array([tri[k], tri[k - 1], middle]))
                        normals.append(np.array([high[k], high[k - 1], peak]))
                else:
                    facets.append(tri)
                    normals.append(high)
    slopes = np.array(
        [
            np.linalg.lstsq(np.c_[tri, np.ones(3)], high, rcond=None)[0][:2]
            for tri, high in zip(facets, normals, strict=False)
        ]
    )

    index = Image.new("I", (m, m))
    edges = Image.new("L", (m, m))
    fill, outline = ImageDraw.Draw(index), ImageDraw.Draw(edges)
    for k, tri in enumerate(facets):
        spots = [(float(a) * m, float(b) * m) for a, b in tri]
        fill.polygon(spots, k)
        outline.line([*spots, spots[0]], 255, 3)
    owner = np.asarray(index)
    centers = np.array([tri.mean(0) for tri in facets]).astype(np.float32)

    x, y = centers.T
    lake = 0.66
    mirror = np.where(y > lake, 2 * lake - y, y)
    band = 0.2 + 0.12 * np.sin(4.5 * x + 0.6) + 0.05 * np.sin(11 * x)
    sky = palette("1a1446", "2f2a86", "5a3ab0", "a04ac0", "f07ab0", "ffc0a0", "ffe2b0")
    colors = ramp(sky, np.clip(mirror / 0.6 + rng.normal(0, 0.035, len(x)), 0, 1))
    glow = palette("2af0c0", "7affd8", "3ad0f0")
    lit = np.exp(-(((mirror - band) / 0.075) ** 2)) * 0.95
    colors = mix(colors, glow[rng.integers(3, size=len(x))], lit)
    for base, high, codes in (
        (0.5, 0.14, ("2a3f8a", "4a7ac8", "a8e0f4", "f4fbff")),
        (0.6, 0.1, ("142a5a", "1f5a8a", "3aa8b8", "b0f0e8")),
    ):
        line = base - high * np.abs(np.sin(7.3 * x + 9 * base)) - 0.03 * np.sin(23 * x)
        ice = ramp(palette(*codes), np.clip(rng.random(len(x)) * 0.8 + 1.6 * (base - mirror), 0, 1))
        colors = np.where((mirror > line)[:, None], ice, colors)
    wet = ramp(palette("0f1f5a", "1a5a9a", "2ac0c8", "ff9ac0"), rng.random(len(x)))
    colors = np.where((y > lake)[:, None], 0.62 * colors + 0.38 * wet, colors)
    light = np.clip(
        1 + 1.1 * (slopes @ np.array([-0.7, -0.7])) + rng.normal(0, 0.05, len(x)), 0.55, 1.5
    )
    colors = colors * light[:, None]

    px, py = grid(m)
    drift = rng.normal(0, 3.2, (len(x), 2)).astype(np.float32)[owner]
    rise = (drift * (np.stack([px, py], -1) - centers[owner])).sum(-1)
    image = colors[owner].astype(np.float32) * (1 + rise)[..., None]
    seam = blur(np.asarray(edges, np.float32) / 255, 1)
    image = image + 0.2 * seam[..., None] * (0.35 + image)
    brushed = noise(rng, m, (14, 180), 3) * 0.5 + 0.5 * noise(rng, m, 160, 2)
    image = np.clip(image * (0.9 + 0.2 * brushed)[..., None], 0, 1)
    return shrink(image, n)


# --- The catalogue -------------------------------------------------------------------------------

STYLES: dict[str, Painter] = {
    "starry-swirl": paint_starry_swirl,
    "autumn-knife": paint_autumn_knife,
    "poppy-pastel": paint_poppy_pastel,
    "stained-glass": paint_stained_glass,
    "linocut": paint_linocut,
    "great-waves": paint_great_waves,
    "riso-tropics": paint_riso_tropics,
    "geometric-concert": paint_geometric_concert,
    "byzantine-mosaic": paint_byzantine_mosaic,
    "pointillist-harbour": paint_pointillist_harbour,
    "marbled-paper": paint_marbled_paper,
    "neon-silk": paint_neon_silk,
    "watercolour-garden": paint_watercolour_garden,
    "sumi-mountains": paint_sumi_mountains,
    "crystal-facets": paint_crystal_facets,
}


def paint(name: str, n: int = SIZE) -> Array:
    """The named style, (n, n, 3) in [0, 1]; the same bits on every call."""
    rng = np.random.default_rng(list(name.encode()))
    return STYLES[name](rng, n).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint the demo's own style pictures.")
    parser.add_argument("--only", choices=sorted(STYLES), help="paint this one style")
    parser.add_argument(
        "--size", type=int, default=SIZE, help="pixels a side (default %(default)s)"
    )
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "styles", help="folder")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in [args.only] if args.only else STYLES:
        pixels = np.round(paint(name, args.size) * 255).astype(np.uint8)
        path = args.output / f"{name}.webp"
        Image.fromarray(pixels).save(path, quality=87, method=6)
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
