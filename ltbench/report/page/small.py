"""A figure's SVG in a fraction of its size: what is seen stays, to a hundredth of a point."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from xml.etree.ElementTree import Element, fromstring, tostring

from ltbench.report.page.path import short_number, short_path
from ltbench.report.page.tile import small_tile

_NUMBERS = ("x", "y", "width", "height")
_REFERENCE = re.compile(r"""(?<=url\()['"]?#([^)'"]+)['"]?(?=\))""")
_TRANSLATE = re.compile(r"translate\(([^\s,)]+)[\s,]+([^\s,)]+)\)")
_COLOUR = re.compile(r"#([0-9a-f])\1([0-9a-f])\2([0-9a-f])\3\b")
_MANY = 8  # uses of one marker, before a path of them is shorter
# What a child without its own takes from its parent.
_INHERITED = re.compile(r"(fill|fill-opacity|stroke|stroke-[a-z]+):")
# matplotlib says so in a style sheet, which on a page would speak to all of it.
_ROOT = {"stroke-linejoin": "round", "stroke-linecap": "butt"}


def small_svg(svg: str) -> str:
    """One ``<svg>`` element of matplotlib's, without its prologue.

    Numbers lose what is not seen, groups that say nothing go, and what all members of a group say
    stands at the group. Ids become short; those that nothing refers to go. No ``style`` is left.
    """
    root = fromstring(svg)
    for key in ("width", "height"):  # the page gives it a size
        root.attrib.pop(key, None)
    for e in root.iter():
        if _local(e.tag) == "pattern":
            small_tile(e)
    _clean(root)
    for key, value in _ROOT.items():
        root.set(key, value)
    _gather(root)
    _string(root)
    _short_ids(root)
    _presentation(root)
    root.set("xmlns", "http://www.w3.org/2000/svg")  # for who takes the figure out of the page
    return tostring(root, encoding="unicode").replace(" />", "/>")


def _clean(e: Element) -> None:
    """Names without namespaces, short attributes, and no element that shows nothing."""
    e.tag = _local(e.tag)
    for key in list(e.attrib):
        e.set(_local(key), _short(_local(key), e.attrib.pop(key)))
    if e.tag == "use" and (moved := _TRANSLATE.fullmatch(e.get("transform", ""))):
        del e.attrib["transform"]
        e.attrib |= {"x": moved[1], "y": moved[2]}
    if e.tag == "use":
        for key in ("x", "y"):
            if e.get(key) == "0":
                del e.attrib[key]
    e.text = e.tail = None
    kept: list[Element] = []
    for child in list(e):
        _clean(child)
        if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
            continue
        kept += list(child) if child.tag == "g" and not set(child.attrib) - {"id"} else [child]
    e[:] = kept


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _short(key: str, value: str) -> str:
    if key == "d":
        return short_path(value)
    if key in _NUMBERS:
        return short_number(float(value))
    if key == "transform":
        return _TRANSLATE.sub(
            lambda m: f"translate({short_number(float(m[1]))} {short_number(float(m[2]))})", value
        )
    if key == "style":
        rules = (re.sub(r"\s*:\s*", ":", rule.strip()) for rule in value.split(";"))
        text = ";".join(rule for rule in rules if rule not in ("", "stroke-dashoffset:0"))
        return _COLOUR.sub(r"#\1\2\3", text)
    return value


def _gather(e: Element) -> None:
    """A style that all members of a group share moves to the group."""
    for child in e:
        _gather(child)
    styles = {child.get("style", "") for child in e}
    if e.tag != "g" or "style" in e.attrib or len(styles) != 1:
        return
    (style,) = styles
    if style and all(_INHERITED.match(rule) for rule in style.split(";")):
        e.set("style", style)
        for child in e:
            del child.attrib["style"]


def _string(root: Element) -> None:
    """Many uses of one marker, in one style, become the vertices of an unseen path that carries it.

    A vertex takes a quarter of a use. The marker has the style itself: it inherits nothing.
    """
    for number, group in enumerate(list(root.iter("g"))):
        uses = list(group)
        seen = {(use.get("href"), len(use.attrib)) for use in uses if use.tag == "use"}
        if len(uses) < _MANY or len(seen) != 1 or "transform" in group.attrib:
            continue
        if any(set(use.attrib) != {"href", "x", "y"} for use in uses):
            continue
        name = f"string{number}"
        shape = {"id": name, "markerUnits": "userSpaceOnUse", "overflow": "visible"}
        marker = Element("marker", shape | {"style": group.attrib.pop("style", "")})
        marker.append(Element("use", {"href": str(uses[0].get("href"))}))
        points = " L ".join(f"{use.get('x')} {use.get('y')}" for use in uses)
        line = Element("path", {"d": short_path(f"M {points}"), "fill": "none"})
        for place in ("start", "mid", "end"):
            line.set(f"marker-{place}", f"url(#{name})")
        group[:] = [marker, line]


def _short_ids(root: Element) -> None:
    used: dict[str, str] = {}
    names = _names()
    for e in root.iter():
        for key, value in e.attrib.items():
            found = [value[1:]] if key == "href" and value[0] == "#" else _REFERENCE.findall(value)
            for name in found:
                if name not in used:
                    used[name] = next(names)
    for e in root.iter():
        for key, value in e.attrib.items():
            if key == "href" and value[0] == "#":
                e.set(key, f"#{used[value[1:]]}")
            elif "url(" in value:
                e.set(key, _REFERENCE.sub(lambda m: f"#{used[m[1]]}", value))
        if (name := e.attrib.pop("id", None)) in used:
            e.set("id", used[name])


def _presentation(root: Element) -> None:
    """Rules of a style become attributes: the page's policy lets no style of an element in."""
    for e in root.iter():
        for rule in e.attrib.pop("style", "").split(";"):
            key, colon, value = rule.partition(":")
            if colon:
                e.set(key, value)  # over an attribute of the same name, as a style is


def _names() -> Iterator[str]:
    """``0``, ``1``, ... ``z``, ``10``: the page's prefix makes ids of them."""
    for number in count():
        text = ""
        while number or not text:
            number, digit = divmod(number, 36)
            text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
        yield text
