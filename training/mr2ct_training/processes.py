"""What the processes of one training say to each other, and what is said when one of them is gone.

Every function is called by all processes at the same place of the training, and does nothing where there is only one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning.fabric import Fabric
from torch import Tensor

# A process that hears nothing for so long takes the others for lost. One that was killed is noticed at once; this is
# for a machine that hangs or a network that is gone. The longest wait of a sound training is a checkpoint's writing.
SILENCE = timedelta(minutes=10)  # NCCL's own default

T = TypeVar("T")


class ProcessLostError(RuntimeError):
    """Another process ended, or cannot be reached any more; one line."""


class DifferenceError(ValueError):
    """Processes that were not given the same; one line, the same in all of them."""


def this_process() -> str | None:
    """Which of torchrun's processes this is, counted from 0, and where; None where there is only one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "LOCAL_WORLD_SIZE" not in os.environ:
        return None
    return f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} on {socket.gethostname()}"


def launch(fabric: Fabric) -> None:
    """Meet the other processes. Raises ProcessLostError where they do not come."""
    with _heard():
        fabric.launch()


def average_gradients(optimisers: Sequence[torch.optim.Optimizer], fabric: Fabric) -> None:
    """The mean over processes of every gradient, as one message; each process then takes the same step."""
    if fabric.world_size == 1:
        return
    weights = [weight for one in optimisers for group in one.param_groups for weight in group["params"]]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat: Any = mean(torch.cat([gradient.flatten() for gradient in gradients]), fabric)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def mean(values: Tensor, fabric: Fabric) -> Tensor:
    """The mean over processes, of values' shape and dtype; the same bits in every process."""
    if fabric.world_size == 1:
        return values
    with _heard():
        found: Any = fabric.all_reduce(values, reduce_op="mean")
    assert isinstance(found, Tensor)
    return found


def any_process(asked: bool, fabric: Fabric) -> bool:
    """Whether at least one process says so."""
    return asked if fabric.world_size == 1 else bool(mean(torch.tensor(float(asked), device=fabric.device), fabric) > 0)


def from_every_process(value: T, fabric: Fabric) -> list[T]:
    """Everybody's value, by process."""
    if fabric.world_size == 1:
        return [value]
    gathered: list[Any] = [None] * fabric.world_size
    with _heard():
        torch.distributed.all_gather_object(gathered, value)
    return gathered


def of_the_first(value: T, fabric: Fabric) -> T:
    """The first process's value, for what all must decide alike."""
    if fabric.world_size == 1:
        return value
    with _heard():
        return fabric.broadcast(value)


def wait_for_all(fabric: Fabric) -> None:
    """Go on when all are here."""
    if fabric.world_size > 1:
        with _heard():
            fabric.barrier()


def refuse_differences(facts: Mapping[str, str], fabric: Fabric) -> None:
    """Raise DifferenceError where a process has another fact of some name than the first one has.

    Data sets and checkpoints are copied from node to node, and a training on two of them would go on without a word.
    """
    everybody = from_every_process({**facts, "host": socket.gethostname()}, fabric)
    first = everybody[0]
    for number, own in enumerate(everybody):
        other = [name for name in facts if own[name] != first[name]]
        if other:
            raise DifferenceError(
                f"process {number} on {own['host']} has another {' and another '.join(other)} than process 0 on "
                f"{first['host']}; all need the same"
            )


@contextmanager
def _heard() -> Iterator[None]:
    """Gloo, NCCL and torchrun's store say RuntimeError, and more than a line, when somebody is gone."""
    try:
        yield
    except RuntimeError as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        reason = line.rpartition("] ")[2].partition(". ")[0][:120]  # what stands before is a line of their source
        raise ProcessLostError(f"another process ended or cannot be reached ({reason})") from error
