"""The child process that holds the model; the only folder that imports MLX and mlx-lm."""
