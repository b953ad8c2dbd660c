"""The only home of vmap, scan, while_loop, jit, shard_map and value_and_grad."""
