"""Everything about a model that a call could change, to the bit."""

import random

import numpy as np
import torch
from torch import nn

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def bits(tensor):
    """A tensor's numbers as bytes; NaN and -0.0 are told apart."""
    if tensor is None:
        return None
    flat = tensor.detach().cpu().reshape(-1).contiguous()
    return flat.view(torch.uint8).numpy().tobytes()


def tensor_state(tensor):
    """Where a tensor lives, what it holds, and what hangs on it."""
    if tensor is None:
        return None
    return {
        "identity": (id(tensor), tensor.data_ptr()),
        "layout": (tensor.dtype, tuple(tensor.shape), tensor.stride()),
        "bits": bits(tensor),
        "requires_grad": tensor.requires_grad,
        "hooks": list(tensor._backward_hooks or ()),
        "grad": None
        if not tensor.is_leaf or tensor.grad is None
        else (id(tensor.grad), bits(tensor.grad)),
    }


def model_state(model):
    """The state of all submodules, by their path."""
    found = {}
    for path, module in model.named_modules(remove_duplicate=False):
        found[path] = {
            "identity": (id(module), type(module)),
            "mode": module.training,
            "inplace": getattr(module, "inplace", None),
            "forward": id(vars(module).get("forward")),
            "children": [(k, id(m)) for k, m in module._modules.items()],
            "hooks": {
                k: [(n, id(h)) for n, h in vars(module).get(k, {}).items()]
                for k in HOOKS
            },
            "parameters": {
                k: tensor_state(p) for k, p in module._parameters.items()
            },
            "buffers": {
                k: tensor_state(b) for k, b in module._buffers.items()
            },
        }
    return found


def world_state():
    """Random states and switches that belong to the whole process."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": (name, keys.tobytes(), *rest),
        "torch": bits(torch.random.get_rng_state()),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "attention": (
            torch.backends.cuda.math_sdp_enabled(),
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
        ),
    }


def data_state(data):
    """The bytes of all tensors in the data, in order."""
    if isinstance(data, torch.Tensor):
        return [tensor_state(data)]
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, (tuple, list)):
        return [s for part in data for s in data_state(part)]
    return []


def snapshot(case):
    """Model, data, loss and process."""
    loss = case.loss
    return {
        "model": model_state(case.model),
        "loss": model_state(loss) if isinstance(loss, nn.Module) else None,
        "data": data_state(case.data),
        "process": world_state(),
    }


def differences(before, after, path=""):
    """Where two snapshots differ, as readable paths."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in before.keys() | after.keys():
            here = f"{path}/{key}"
            if key not in before or key not in after:
                found.append(f"{here} came or went")
            else:
                found += differences(before[key], after[key], here)
        return sorted(found)
    return [] if before == after else [path]
