"""Writes a program of any size, the same for the same size: python3 worker/examples/large.py [STATES] > large.zero

    python3 worker/examples/large.py 100000 > large.zero
    zeroth-supervise large.zero

Four alignments a state: with its successor in the ring, and with three that lie anywhere. Change the epsilon in the
last line and save: every state goes on. Misspell a line in the middle: it is shown, and the field goes on as it was.
"""

import random
import sys

states = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
if states < 2:
    sys.exit("large.py: a ring needs two states")
anywhere = random.Random(states)
name = f"S{{:0{len(str(states - 1))}}}".format
print(f"# {states:,} states in a ring, each aligned with three more anywhere. Made by worker/examples/large.py.")
for state in range(states):
    print(f"state {name(state)}")
for state in range(states):
    print(f"align {name(state)} {name((state + 1) % states)} strength 0.2")
    for _ in range(3):
        other = (state + anywhere.randrange(1, states)) % states
        print(f"align {name(state)} {name(other)} strength {anywhere.random() / 100:.4f}")
print("observe convergence epsilon 0.0000001")
