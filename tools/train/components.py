"""Adapters as the components of their products B A: truncated, sorted, averaged."""

import torch


def truncate(model, rank, order):
    """Keeps `rank` components of every module, in place.

    `svd`: the best ones (Eckart-Young), from the singular value decomposition of B A, as the runtime does.
    `own`: the first rows of A and columns of B.
    """
    with torch.no_grad():
        for module in lora_modules(model):
            a = module.lora_A["default"].weight
            b = module.lora_B["default"].weight
            if order == "svd":
                sort_components(a, b)
            a[rank:] = 0
            b[:, rank:] = 0


def sort_components(a, b):
    """Rewrites A and B, in place, as the singular components of their product, largest first.

    The product is never formed: with B = Qb Rb and A' = Qa Ra it is Qb (Rb Ra') Qa', and the middle is rank x rank.
    """
    q_b, r_b = torch.linalg.qr(b.double())
    q_a, r_a = torch.linalg.qr(a.double().T)
    u, s, v = torch.linalg.svd(r_b @ r_a.T)
    b.copy_(q_b @ u * s)
    a.copy_(v @ q_a.T)


def mean_product(a_factors, b_factors):
    """A and B of the mean of several products B A, to its largest singular values; the rank stays the same.

    The products are averaged, not the factors: factors of equal products may differ.
    """
    rank = len(a_factors[0])
    a = torch.cat(a_factors)
    b = torch.cat(b_factors, dim=1) / len(b_factors)
    sort_components(a, b)
    return a[:rank], b[:, :rank]


def lora_modules(model):
    return [module for module in model.modules() if hasattr(module, "lora_A")]
