"""What torch's sums over units, layers and reductions demand of orders."""

import torch

from dldna.landscape.curves.operations import places, rule, together
from dldna.landscape.curves.orders import Order, fix, product, reshape, tie


@rule("mm")
def _mm(seen, a, b):
    (n, k), (other, m) = seen(a), seen(b)
    tie(k, other)
    return [n, m]


@rule("mv", "dot")
def _mv(seen, a, b):
    *rest, k = seen(a)
    tie(k, seen(b)[0])
    return rest


@rule("bmm")
def _bmm(seen, a, b):
    (x, n, k), (y, other, m) = seen(a), seen(b)
    tie(x, y)
    tie(k, other)
    return [x, n, m]


@rule("addmm", "baddbmm")
def _addmm(seen, c, a, b, **_):
    times = _mm if a.ndim == 2 else _bmm
    return together([times(seen, a, b), seen(c)])


@rule("convolution", "mkldnn_convolution")
def _convolution(
    seen, x, w, b, stride, padding, dilation, transposed, _, groups
):
    batch, c, *space = seen(x)
    first, second, *kernel = seen(w)
    for o in (*space, *kernel):
        fix(o)
    blocks, inner = _blocks(c, groups)
    if transposed:  # weight (in, out / groups, ...)
        tie(c, first)
        out = product([blocks, second]) if groups > 1 else second
    else:  # weight (out, in / groups, ...)
        tie(inner, second)
        tie(blocks, _blocks(first, groups)[0])
        out = first
    if b is not None:
        tie(out, seen(b)[0])
    return [batch, out]


def _blocks(order: Order, n: int) -> tuple[Order, Order]:
    """An axis of channels as groups, and channels in each."""
    if n == 1:
        return Order(1), order
    if n == order.n:
        return order, Order(1)
    blocks, inner = reshape([order], [n, order.n // n])
    return blocks, inner


@rule(
    "native_batch_norm",
    "cudnn_batch_norm",
    "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit",
)
def _batch_norm(seen, x, *rest):
    axes = seen(x)
    for t in rest:
        if isinstance(t, torch.Tensor):
            tie(axes[1], seen(t)[0])
    return axes


@rule("native_layer_norm", "_fused_rms_norm")
def _layer_norm(seen, x, shape, *rest):
    axes, k = seen(x), len(shape)
    for t in rest:
        if isinstance(t, torch.Tensor):
            together([axes[-k:], seen(t)])
    seen.passed.append(axes[:-k])
    return axes


@rule("native_group_norm")
def _group_norm(seen, x, w, b, n, channels, space, groups, eps):
    axes = seen(x)
    batch, c = axes[:2]
    for t in (w, b):
        if t is not None:
            tie(c, seen(t)[0])
    blocks, _ = _blocks(c, groups)
    seen.passed.append([batch, blocks])
    return axes


@rule("_softmax", "_log_softmax", "_safe_softmax", "logcumsumexp")
def _softmax(seen, x, dim, *_):
    axes, dim = seen(x), dim % x.ndim
    seen.passed.append([*axes[:dim], *axes[dim + 1 :]])
    return axes


@rule("max", "min", "argmax", "argmin", "median", "mode")
def _pick(seen, x, dim=None, *args, **kwargs):
    for k in places(dim, x.ndim):
        fix(seen(x)[k])
    return _reduce(seen, x, *args, dim=dim, **kwargs)


@rule("sum", "mean", "var", "std", "prod", "amax", "amin", "logsumexp")
@rule("any", "all", "norm", "linalg_vector_norm")
def _reduce(seen, x, *args, keepdim=False, dim=None, **_):
    found = [a for a in args if isinstance(a, (int, list))]
    keepdim = keepdim or any(a is True for a in args)
    found = [a for a in found if not isinstance(a, bool)]
    gone = places(found[0] if found else dim, x.ndim)
    return [
        Order(1) if k in gone else o
        for k, o in enumerate(seen(x))
        if keepdim or k not in gone
    ]


@rule("cumsum", "cumprod", "flip", "roll", "tril", "triu")
def _along(seen, x, *args):
    for o in seen(x):
        fix(o)
    return seen(x)


@rule("embedding")
def _embedding(seen, w, index, *_):
    first, units = seen(w)
    fix(first)
    return [*seen(index), units]


@rule("index_select")
def _index_select(seen, x, dim, index):
    axes = list(seen(x))
    fix(axes[dim])
    fix(seen(index)[0])
    axes[dim] = Order(len(index), True)
    return axes


@rule(
    "max_pool2d_with_indices",
    "avg_pool2d",
    "_adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "avg_pool3d",
    "max_pool3d_with_indices",
    "_adaptive_avg_pool3d",
    "reflection_pad2d",
    "replication_pad2d",
)
def _space(seen, x, *_):
    axes = seen(x)
    kept = 1 if x.ndim == 3 else 2
    for o in axes[kept:]:
        fix(o)
    return axes[:kept]


@rule(
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_attention_math",
)
def _attention(seen, q, k, v, *rest, attn_mask=None, **_):
    *before, n, d = seen(q)
    *other, m, d2 = seen(k)
    *third, m2, e = seen(v)
    rest = [t for t in rest if isinstance(t, torch.Tensor)]
    tie(d, d2)
    tie(m, m2)
    weights = [[*before, n, m], [*other, Order(1), m], [*third, Order(1), m]]
    masks = [t for t in (*rest, attn_mask) if t is not None]
    weights = together([*weights, *map(seen, masks)])
    seen.passed += [weights, weights[:-1]]
    return [*weights[:-1], e]


@rule("copy_")
def _copy(seen, x, source, *_):
    together([seen(x), seen(source)])
    return seen(x)
