"""AutoAugment's image operations on batches of uint8 images, to the bits of Pillow on one image.

Each takes images (B, 3, S, S) uint8 and one value an image, (B, 1, 1, 1), and gives new images; none
waits for a device, so that a step that uses them can be recorded. Source of what is computed: Pillow
(``ImageOps.py``, ``ImageEnhance.py``, ``libImaging/Geometry.c``, ``Blend.c``, ``Convert.c``,
``Filter.c``) as called by the AutoAugment of the long-tail codes (``autoaug.py`` of MDCS, the same
file in PaCo, NCL and BalPoE); what a rotation or translation uncovers is grey there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Operation = Callable[[Tensor, Tensor], Tensor]

GREY = 128
"""What fills pixels that have no source."""

ONE = 1 << 16
"""One pixel in 16.16 fixed point."""


def fixed_point(a: Tensor, b: Tensor, size: int) -> Tensor:
    """(n, 3) int64: a row (a, b, c) of a rotation about the centre, taken at pixel centres.

    a, b: (n,) float64. Additions keep Pillow's order. Its transpositions at multiples of 90 degrees
    need no case of their own: for square images these integers read the same pixels.
    """
    centre = size / 2
    c = (a * -centre + b * -centre) + centre
    row = torch.stack((a, b, c + a * 0.5 + b * 0.5), dim=1)
    return (row * ONE + 0.5).floor().long()


def shear_x(images: Tensor, slope: Tensor) -> Tensor:
    """Row y reads ``slope * (y + 1/2)`` further right, by a cubic through four pixels; float64."""
    size = images.shape[-1]
    grid = torch.arange(size, dtype=torch.float64, device=images.device) + 0.5
    source = grid.view(1, 1, 1, size) + slope.double() * grid.view(1, 1, size, 1)  # (B,1,S,S)
    outside = (source < 0) | (source >= size)
    left = (source - 0.5).floor()
    at = (source - 0.5) - left
    rows = torch.arange(size, device=images.device).view(1, 1, size, 1)
    flat = images.flatten(2)

    def column(step: int) -> Tensor:
        index = (left.long() + step).clamp_(0, size - 1) + rows * size
        index = index.expand_as(images).flatten(2)
        return flat.gather(2, index).view_as(images).double()

    v1, v2, v3, v4 = (column(step) for step in (-1, 0, 1, 2))
    inner = at * (-v1 + v2 - v3 + v4) + (2 * (v1 - v2) + v3 - v4)
    value = v2 + at * ((-v1 + v3) + at * inner)
    return _bytes(value).masked_fill_(outside, GREY)


def shear_y(images: Tensor, slope: Tensor) -> Tensor:
    """Column x reads ``slope * (x + 1/2)`` further down; as :func:`shear_x`."""
    return shear_x(images.transpose(2, 3), slope).transpose(2, 3)


def translate_x(images: Tensor, pixels: Tensor) -> Tensor:
    """Each pixel from ``floor(pixels + 1/2)`` columns further right."""
    size = images.shape[-1]
    shift = (pixels.double() + 0.5).floor().long()
    source = torch.arange(size, device=images.device).view(1, 1, 1, size) + shift
    outside = (source < 0) | (source >= size)
    found = images.gather(3, source.clamp(0, size - 1).expand_as(images))
    return found.masked_fill_(outside, GREY)


def translate_y(images: Tensor, pixels: Tensor) -> Tensor:
    """Each pixel from ``floor(pixels + 1/2)`` rows further down."""
    return translate_x(images.transpose(2, 3), pixels).transpose(2, 3)


def rotate_by(table: Tensor) -> Operation:
    """A rotation by one of ``table``'s steps, (L, 2, 3) of :func:`fixed_point`: nearest neighbour.

    Its value is a row of the table, since the cosines of two devices may differ in the last digit.
    """

    def rotate(images: Tensor, level: Tensor) -> Tensor:
        size = images.shape[-1]
        steps = table[level.flatten().long()]  # (B,2,3): of x and of y
        grid = torch.arange(size, device=images.device)
        columns = (steps[:, :, 0:1] * grid + steps[:, :, 2:]).unsqueeze(2)
        rows = (steps[:, :, 1:2] * grid).unsqueeze(3)
        source = (columns + rows) >> 16  # (B,2,S,S)
        outside = ((source < 0) | (source >= size)).any(dim=1, keepdim=True)
        index = source.clamp(0, size - 1)
        index = (index[:, 1:] * size + index[:, :1]).expand_as(images).flatten(2)
        found = images.flatten(2).gather(2, index).view_as(images)
        return found.masked_fill_(outside, GREY)

    return rotate


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Between the grey image (0), the image (1) and beyond."""
    return _blend(_luma(images).expand_as(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Between the mean grey value, rounded, and the image."""
    pixels = images.shape[2] * images.shape[3]
    total = _luma(images).long().sum(dim=(2, 3), keepdim=True)
    mean = (2 * total + pixels).div(2 * pixels, rounding_mode="floor")
    return _blend(mean, images, factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """The hue further by ``turn``, in 255ths of the circle: through Pillow's HSV in bytes and back."""
    red, green, blue = (images[:, i].int() for i in range(3))
    most, least = images.amax(dim=1).int(), images.amin(dim=1).int()
    span = (most - least).float()
    over = span.clamp_min(1)
    rc, gc, bc = ((most - each).float() / over for each in (red, green, blue))
    # Where Pillow computes in doubles and stores floats, so does this.
    sector = torch.where(
        red == most,
        (bc - gc).double(),
        torch.where(
            green == most, 2.0 + rc.double() - bc.double(), 4.0 + gc.double() - rc.double()
        ),
    ).float()
    angle = (sector.double() / 6.0 + 1.0).fmod(1.0).float()
    h = torch.where(span > 0, (angle.double() * 255.0).int(), 0)
    s = torch.where(span > 0, ((span / most.clamp_min(1).float()).double() * 255.0).int(), 0)
    h = (h + turn.view(-1, 1, 1).int()) & 255
    return _from_hsv(h, s, most)


def _from_hsv(h: Tensor, s: Tensor, v: Tensor) -> Tensor:
    """(B, S, S) int32 each, 0 to 255, to (B, 3, S, S) uint8."""
    place = h.double() * 6.0 / 255.0
    i = place.floor()
    f, fs = (place - i).float(), (s.double() / 255.0).float()
    value = v.double()
    p = (value * (1.0 - fs.double()) + 0.5).floor()
    q = (value * (1.0 - (fs * f).double()) + 0.5).floor()
    t = (value * (1.0 - fs.double() * (1.0 - f.double())) + 0.5).floor()
    sectors = (
        (value, t, p),
        (q, value, p),
        (p, value, t),
        (p, q, value),
        (t, p, value),
        (value, p, q),
    )
    choices = torch.stack([torch.stack(each, dim=1) for each in sectors])  # (6,B,3,S,S)
    index = i.long().remainder(6)[None, :, None].expand(1, -1, 3, -1, -1)
    found = choices.gather(0, index)[0]
    return _bytes(torch.where(s[:, None] == 0, value[:, None], found))


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Between black and the image."""
    return _blend(torch.zeros_like(images), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Between the image smoothed by (1 1 1; 1 5 1; 1 1 1)/13 and itself; borders are not smoothed."""
    wide = images.int()
    rows = wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * wide[:, :, 1:-1, 1:-1]
    smooth = wide.clone()
    smooth[:, :, 1:-1, 1:-1] = (2 * total + 13).div(26, rounding_mode="floor")
    return _blend(smooth, images, factor)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the ``bits`` highest bits of each value, 1 to 8."""
    step = (2 ** (8 - bits.float())).to(torch.int32)
    return (images.int() & -step).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts values from ``threshold`` on."""
    return torch.where(images.double() < threshold.double(), images, 255 - images)


def invert(images: Tensor, _: Tensor) -> Tensor:
    """255 minus each value."""
    return 255 - images


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Each channel stretched to 0 to 255; one of a single value stays."""
    low = images.amin(dim=(2, 3), keepdim=True).double()
    high = images.amax(dim=(2, 3), keepdim=True).double()
    scale = torch.full_like(low, 255.0) / (high - low).clamp(min=1)
    stretched = _bytes(images.double() * scale + -low * scale)
    return torch.where(high > low, stretched, images)


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Each channel by its cumulative histogram, as Pillow's integers have it."""
    flat = images.flatten(2).long()  # (B,3,N)
    histogram = torch.zeros(*flat.shape[:2], 256, dtype=torch.long, device=images.device)
    histogram.scatter_add_(2, flat, torch.ones_like(flat))
    last = histogram.gather(2, flat.amax(dim=2, keepdim=True))
    step = (flat.shape[2] - last).div(255, rounding_mode="floor")  # (B,3,1); 0: stays as it is
    safe = step.clamp(min=1)
    before = histogram.cumsum(dim=2) - histogram
    table = (safe.div(2, rounding_mode="floor") + before).div(safe, rounding_mode="floor")
    table = table.clamp_(max=255)
    identity = torch.arange(256, device=images.device)
    table = torch.where(step > 0, table, identity)
    return table.gather(2, flat).view_as(images).to(torch.uint8)


def _luma(images: Tensor) -> Tensor:
    """(B, 1, S, S) int32: ITU-R 601-2 luma in 16 bits of fixed point, rounded."""
    red, green, blue = (images[:, i : i + 1].int() for i in range(3))
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _blend(degenerate: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """``degenerate + factor * (images - degenerate)`` in float32, cut to 0 to 255, truncated."""
    base = degenerate.float()
    # Not torch.add(..., alpha=) nor lerp, which may round once where Pillow rounds twice.
    return _bytes((images.float() - base) * factor.float() + base)


def _bytes(values: Tensor) -> Tensor:
    return values.clamp(0, 255).to(torch.uint8)
