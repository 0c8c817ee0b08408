"""Many volumes on a cluster, through Ray Data: retries, spreading and growing are Ray's, the manifest is the driver's.

https://docs.ray.io/en/latest/data/transforming-data.html#stateful-transforms
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mr2ct.choosing import ON_CPU
from mr2ct.errors import DeviceError
from mr2ct.many.asked import Asked
from mr2ct.many.attempts import notes_in
from mr2ct.many.cluster import Cluster, RayError, connected, ray
from mr2ct.many.early import EarlyEnd
from mr2ct.many.item import started
from mr2ct.many.items import Item
from mr2ct.many.manifest import Entry, Manifest
from mr2ct.many.pipeline import AT_ONCE
from mr2ct.many.worker import Job, Worker, as_row, model_for_nodes
from mr2ct.many.workshop import Workshop
from mr2ct.model import Model
from mr2ct.triton_model import is_place

SAID = 300  # characters of what Ray says


@dataclass(frozen=True)
class Share:
    """What a worker takes of its node. room: how many of them the cluster has room for now."""

    cpus: float
    gpus: float
    room: int


def share_of(cluster: Cluster, device: str, threads: int | None) -> Share:
    """What a worker takes: one GPU where it is to use one, with its part of the node's CPUs; else all CPUs of a node.

    Of unequal nodes the smallest decides. threads: CPUs of a worker all the same. A GPU that no node has now is waited
    for, and so are CPUs where there are none: the cluster may grow. Raises DeviceError where no node has so many CPUs.
    """
    on_gpu = cluster.gpus > 0 if device == "auto" else device not in ON_CPU and not is_place(device)
    nodes = [node for node in cluster.nodes if node.gpus > 0 or not on_gpu] or list(cluster.nodes)
    gpus = 1.0 if on_gpu else 0.0
    most = max(node.cpus for node in nodes)
    least = min(node.cpus // max(node.gpus, 1) if on_gpu else node.cpus for node in nodes if node.cpus or not most)
    cpus = threads or max(1.0, least)
    if cpus > most > 0:
        raise DeviceError(f"Ray cluster at {cluster.told}: no node has {cpus:g} CPUs, the largest has {most:g}")
    room = sum(int(min(node.cpus // cpus, node.gpus if on_gpu else node.cpus // cpus)) for node in nodes)
    return Share(cpus, gpus, room)


@dataclass(frozen=True)
class OnRay:
    """A Workshop: the cluster that this process is connected to.

    workers: a fixed number of them, None for as many as the cluster has room for, also while it grows.  threads: see
    Job.
    """

    cluster: Cluster
    share: Share
    workers: int | None = None
    threads: int | None = None

    @property
    def told(self) -> str:
        """See Workshop."""
        nodes, share = len(self.cluster.nodes), self.share
        takes = f"{'a GPU and ' if share.gpus else ''}{share.cpus:g} CPU{'s' if share.cpus != 1 else ''}"
        count = self.workers or share.room
        room = f"{'' if self.workers else 'room for '}{count} worker{'s' if count != 1 else ''}"
        waits = "; no GPU there yet, waiting for one" if share.gpus and not self.cluster.gpus else ""
        return (
            f"the Ray cluster at {self.cluster.told}: {nodes} node{'s' if nodes != 1 else ''}, {room} of {takes}{waits}"
        )

    def make_all(
        self,
        todo: Sequence[tuple[Item, bool]],
        model: Model,
        asked: Asked,
        manifest: Manifest,
        on_entry: Callable[[Entry], None],
    ) -> str:
        """See Workshop.

        All items get their first line now: when a worker takes one the driver does not know. An item whose worker dies
        is given to another one, so it may be made twice, into the same bytes.
        """
        begun = [started(item, ours=ours) for item, ours in todo]
        manifest.append(*begun)
        left, end, named = {item.id for item, _ in todo}, EarlyEnd(), model_for_nodes(model)
        rows = [as_row(item, ours=entry.ours) for (item, _), entry in zip(todo, begun, strict=True)]
        with notes_in(manifest.file.parent) as notes:
            for entry in self._made(rows, Job(*named, asked, self.threads, notes)):
                if entry.id not in left:
                    continue  # a worker that was taken for dead was not
                left.remove(entry.id)
                manifest.append(entry)
                on_entry(entry)
                end.look_at(entry)
                if end.why:
                    break
        return end.why

    def _made(self, items: Sequence[dict[str, bytes]], job: Job) -> Iterator[Entry]:
        """The last line of each item, as they are made."""
        most = self.workers or len(items)
        pool = ray.data.ActorPoolStrategy(
            min_size=self.workers or 1,
            max_size=most,
            initial_size=min(most, self.workers or max(1, self.share.room)),
            max_concurrent_calls_per_actor=AT_ONCE,
            enable_true_multi_threading=True,
        )
        rows = ray.data.from_items(list(items), override_num_blocks=len(items))
        made = rows.map_batches(
            Worker, fn_constructor_args=(job,), batch_size=1, batch_format="pyarrow", compute=pool,
            num_cpus=self.share.cpus, num_gpus=self.share.gpus or None,
        )  # fmt: skip
        try:
            for batch in made.iter_batches(prefetch_batches=0, batch_size=None):
                for line in batch["entry"]:
                    yield Entry.of_line(str(line))
        except RayError as error:
            raise DeviceError(f"Ray: {' '.join(str(error).split())[:SAID]}") from error


@contextmanager
def on_ray(
    address: str | None, workers: int | None, threads: int | None, _model: Model, asked: Asked
) -> Iterator[Workshop]:
    """address: see mr2ct.many.cluster.connected. After the block nothing of the run goes on there."""
    with connected(address) as cluster:
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        yield OnRay(cluster, share_of(cluster, asked.device, threads), workers, threads)
