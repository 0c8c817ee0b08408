"""mr2ct-train: a data set becomes a generator."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mr2ct_training.config import TrainConfig

COUNT, AMOUNT = click.IntRange(1), click.IntRange(0)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of checkpoints and logs.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in OUT.")
@click.option(
    "--start-from",
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="Begin with the generators of a checkpoint instead of random weights. --resume wins: it goes on from OUT's.",
)
@click.option("--scheme", type=click.Choice(["unpaired", "paired"]), default="unpaired", show_default=True)
@click.option(
    "--epochs", "epochs_flat", default=100, type=AMOUNT, show_default=True, help="With a fixed learning rate."
)
@click.option(
    "--epochs-linear", default=100, type=AMOUNT, show_default=True, help="And as many with the rate falling to zero."
)
@click.option("--steps-per-epoch", default=0, type=AMOUNT, help="[default: the slices of the larger modality]")
@click.option(
    "--batch", default=1, type=COUNT, show_default=True, help="Pairs of slices a step, all processes together."
)
@click.option("--learning-rate", default=0.0002, type=click.FloatRange(0, min_open=True), show_default=True)
@click.option(
    "--cycle-weight", default=10.0, type=click.FloatRange(0), show_default=True, help="Lambda of the cycle loss."
)
@click.option(
    "--identity-weight",
    default=0.0,
    type=click.FloatRange(0),
    show_default=True,
    help="Identity loss, as a part of lambda.",
)
@click.option(
    "--anchor-weight",
    default=0.0,
    type=click.FloatRange(0),
    show_default=True,
    help="L1 loss on patients with an aligned CT, beside the others' unpaired training; 30 holds bone in place.",
)
@click.option("--augment", is_flag=True, help="Turn, scale, cut off and re-contrast slices at random, for few heads.")
@click.option(
    "--width", default=64, type=COUNT, show_default=True, help="Channels of the generators' first convolution."
)
@click.option("--blocks", default=9, type=AMOUNT, show_default=True, help="Residual blocks of the generators.")
@click.option(
    "--discriminator-width", default=64, type=COUNT, show_default=True, help="Channels of the discriminators' first."
)
@click.option(
    "--pad", default=286, type=AMOUNT, show_default=True, help="Pad to this, then cut out at random; 0: neither."
)
@click.option("--precision", type=click.Choice(["fp32", "bf16-mixed", "fp16-mixed"]), default="fp32", show_default=True)
@click.option("--compile/--no-compile", "compile", default=False, help="torch.compile the networks; pays on a GPU.")
@click.option("--seed", default=0, type=AMOUNT, show_default=True, help="Of everything random.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--save-every", default=1000, type=COUNT, show_default=True, help="Steps between checkpoints.")
@click.option("--log-every", default=20, type=COUNT, show_default=True, help="Steps between lines of the log.")
@click.version_option(package_name="mr2ct")
def main(
    dataset: Path,
    out: Path,
    resume: bool,
    start_from: Path | None,
    device: str,
    save_every: int,
    log_every: int,
    pad: int,
    **settings: Any,
) -> None:
    """Train the paper's CycleGAN on DATASET, a folder that mr2ct-prepare made.

    OUT gets last.ckpt, best.ckpt (by validation), log.jsonl and TensorBoard's files. mr2ct-export OUT/best.ckpt makes a
    model of it. The defaults are the paper's. Several processes: torchrun --nproc-per-node N -m mr2ct_training.cli ...

    SIGTERM or Ctrl-C saves and exits with 0; --resume goes on from there, on a CPU to the very same weights, with any
    number of processes that the batch spreads evenly over. docs/training-across-nodes.md tells about several nodes.
    """
    from lightning.fabric import Fabric

    from mr2ct_training.checkpoint import CheckpointError
    from mr2ct_training.config import TrainConfig
    from mr2ct_training.dataset import Dataset, DatasetError
    from mr2ct_training.loop import DivergedError, Rhythm, StoppedError, train
    from mr2ct_training.processes import DifferenceError, ProcessLostError, launch, this_process

    stops: list[int] = []

    def listen() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: stops.append(received))

    last, launcher, one_of_many = out / "last.ckpt", os.getppid(), this_process() is not None
    speaker = f"mr2ct-train, {this_process()}" if one_of_many else "mr2ct-train"
    if not one_of_many:
        listen()
    try:
        config = TrainConfig(pad=pad, **settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not config.epochs:
        raise click.UsageError("--epochs and --epochs-linear are both 0: nothing to train")
    try:
        fabric = _fabric(Fabric, device, config)
        launch(fabric)  # before anything that may be wrong on one node: who is missing then is noticed at once
        listen()  # and not before: while it waits for the others there is nothing to save, and a signal should end it
        if not resume and last.exists():
            raise CheckpointError(f"{last}: exists already; --resume goes on, another --out starts anew")
        data = Dataset(dataset)
        train(
            config,
            data,
            out,
            fabric,
            rhythm=Rhythm(log_every, save_every),
            resume=resume,
            start_from=start_from,
            asked_to_stop=lambda: bool(stops) or (one_of_many and os.getppid() != launcher),
        )
    except StoppedError as stopped:
        if fabric.global_rank == 0:  # all of them stopped
            click.echo(f"mr2ct-train: stopped: {stopped}", err=True)
        return
    except (DivergedError, DifferenceError) as error:  # so all of them say
        if fabric.global_rank == 0:
            click.echo(f"mr2ct-train: {error}", err=True)
        sys.exit(1)
    except ProcessLostError as error:
        kept = f"--resume goes on from {last}" if last.exists() else f"{last} was not yet written"
        click.echo(f"{speaker}: {error}; {kept}", err=True)
        sys.exit(1)
    except (CheckpointError, DatasetError, ValueError) as error:
        click.echo(f"{speaker}: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"{speaker}: {error.filename or out}: {error.strerror or error}", err=True)
        sys.exit(1)
    if fabric.global_rank == 0:
        click.echo(f"{last}\nmr2ct-export {last} --out MODEL --fp16 makes a model of it")


def _fabric(fabric_type: Any, device: str, config: TrainConfig) -> Any:
    """Lightning's Fabric for this machine, or for what torchrun says of it."""
    import torch
    from lightning.fabric.strategies.ddp import DDPStrategy

    from mr2ct_training.processes import SILENCE

    if device != "cpu" and not torch.cuda.is_available():
        if device == "cuda":
            raise ValueError("--device cuda: no CUDA GPU here that this torch can use; --device cpu trains, slowly")
        device = "cpu"
    torch.backends.cudnn.benchmark = True  # every step has the same shapes
    if config.precision == "fp16-mixed" and device == "cpu":
        raise ValueError("--precision fp16-mixed needs a GPU; bf16-mixed works on a CPU too")
    torchrun = "LOCAL_WORLD_SIZE" in os.environ
    devices = int(os.environ["LOCAL_WORLD_SIZE"]) if torchrun else 1
    nodes = int(os.environ["WORLD_SIZE"]) // devices if torchrun else 1
    return fabric_type(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        strategy=DDPStrategy(timeout=SILENCE) if torchrun and devices * nodes > 1 else "auto",
        precision=config.fabric_precision,
    )


if __name__ == "__main__":
    main()
