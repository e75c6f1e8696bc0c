"""Files with plugins: imported for themselves alone, their code told by a digest."""
