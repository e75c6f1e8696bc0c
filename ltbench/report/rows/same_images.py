"""Which sections stand on the same images, though some stand on what an encoder made of them."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.report.rows.sections import Section


def same_images(a: Section, b: Section) -> bool:
    """Whether their test images are the same, or their features were made of the same training images."""
    if a.key.test_fingerprint == b.key.test_fingerprint:
        return True
    of_features = bool(a.images_fingerprint or b.images_fingerprint)
    return of_features and _training_images(a) == _training_images(b)


def _training_images(section: Section) -> str:
    return section.images_fingerprint or section.key.train_fingerprint


def by_images(sections: Sequence[Section]) -> list[list[Section]]:
    """``sections`` in groups, one a data set, in the order of each one's first."""
    groups: list[list[Section]] = []
    for section in sections:
        joined = [group for group in groups if any(same_images(section, one) for one in group)]
        merged = [*(one for group in joined for one in group), section]
        place = groups.index(joined[0]) if joined else len(groups)
        groups = [group for group in groups if group not in joined]
        groups.insert(place, merged)
    return groups
