"""Label distributions: class counts, many/medium/few groups, index draws."""
