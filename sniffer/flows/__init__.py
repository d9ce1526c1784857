"""From packets to turns: flow keys, the table of flows, order, gate and reassembly."""
