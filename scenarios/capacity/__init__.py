"""Questions of capacity, asked on the command line and in notebooks; `simulator.capacity` computes the answers."""
