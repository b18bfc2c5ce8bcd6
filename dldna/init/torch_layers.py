r"""What torch's layers draw by themselves, layer by layer.

``nn.Linear`` and convolutions draw :math:`U(\pm 1/\sqrt{n_{in}})`. A
transposed convolution does so with the fan that its stored shape seems to
have, which is its fan-out; recurrent layers take the number of hidden
units; attention draws query, key and value by Xavier's rule, packed into
one matrix where they are, and starts its biases at 0.
"""

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from dldna.init.fans import fans_of
from dldna.init.weight_matrices import WeightMatrix
from dldna.torch_internals import TransposedConvolution


def default_bound(layer: nn.Module, block: WeightMatrix) -> float:
    """Bound of the uniform numbers in one of a layer's matrices.

    Example:
        >>> from dldna.init.weight_matrices import layer_blocks
        >>> gate = layer_blocks(nn.LSTM(9, 25))[0]
        >>> default_bound(gate.layer, gate)
        0.2
    """
    n_in, n_out = block.fans
    if isinstance(layer, (RNNBase, RNNCellBase)):
        return layer.hidden_size**-0.5
    if isinstance(layer, nn.MultiheadAttention):
        packed = 3 if block.param.endswith("in_proj_weight") else 1
        return (6 / (n_in + packed * n_out)) ** 0.5
    fan = n_out if isinstance(layer, TransposedConvolution) else n_in
    return fan**-0.5


def default_bias_bound(layer: nn.Module) -> float:
    """The same for a layer's biases.

    Example:
        >>> default_bias_bound(nn.Linear(100, 3))
        0.1
    """
    if isinstance(layer, (RNNBase, RNNCellBase)):
        return layer.hidden_size**-0.5
    attention = (nn.MultiheadAttention, NonDynamicallyQuantizableLinear)
    if isinstance(layer, attention):  # the latter projects its output
        return 0.0
    n_in, n_out = fans_of(layer)
    fan = n_out if isinstance(layer, TransposedConvolution) else n_in
    return fan**-0.5 if fan else 0.0
