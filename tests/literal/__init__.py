"""Whole searches written out literally, straight from the algorithm boxes and equations of the papers, on the networks of
tests/helpers/reference.py.

| file | what is written out |
|---|---|
| data | the split, the order of batches and the augmentation, image by image, from the seed alone |
| optimisers | SGD with momentum and decay, Adam, the clipping of gradients, as formulas |
| softmaxes | every edge's and every node's softmax by itself |
| cells | which edges and operations stay, and the margins, by loops over nodes |
| network | the supernet with a module for each edge and operation, its first weights and sampled channels |
| gradients | the architecture's gradient: first order, eq. 8 of DARTS, and through the weight step |
| darts, pc_darts, dots, edarts, ftso | the searches |
| record | what a search says and leaves, and what a search of the package says and leaves; their comparison |

A search of the package has to say and leave the same to 1e-9, in float64. Nothing here imports what it is compared with, but for the
names of the settings and `Supernet`, whose random numbers the literal network's first weights are.
"""
