"""A model whose layers are split over several processes, the ranks of mlx.launch."""
