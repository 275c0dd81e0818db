"""The run of `grm-plugin spct rft-data`: collects the trajectories that a folder lacks, then writes training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from grm_plugin._util.digests import digest
from grm_plugin.batch.exit_status import FAILED
from grm_plugin.batch.items import Item
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.batch.resumable_run import Run
from grm_plugin.config import Config
from grm_plugin.engines.fingerprint import fingerprint, model_name
from grm_plugin.spct.rejection import RejectionRules
from grm_plugin.spct.rft_data import write_report, write_training_file
from grm_plugin.spct.training_prompts import TrainingPrompts, check_sizes
from grm_plugin.spct.trajectories import ItemTrajectories, TrajectoryStore, read_trajectories
from grm_plugin.spct.trajectory_collector import TrajectoryCollector
from grm_plugin.spct.trajectory_meter import TrajectoryMeter


@dataclass(frozen=True, slots=True)
class RFTRun:
    """What to sample, and which trajectories to keep.

    Attributes:
        config: of the GRM; a meta RM in it is left out, since it has no part in sampling.
        prompts: renders the prompts.
        rules: decide which trajectories become training rows.
        samples: trajectories without a hint per item.
        hinted: trajectories with a hint per item.
        seed: of the orders, of sampling, and of the order of the training rows.
    """

    config: Config
    prompts: TrainingPrompts
    rules: RejectionRules
    samples: int
    hinted: int
    seed: int

    def collect(self, items: Sequence[Item], wanted: Sequence[Item], folder: Path, concurrency: int) -> int:
        """Collect the trajectories that `folder` lacks, and say on stderr how far it got.

        Args:
            items: all items. The folder belongs to them: it is refused for others.
            wanted: those to sample now.
            folder: takes the trajectories.
            concurrency: items worked on at once.

        Returns:
            The exit status of the command.

        Raises:
            GroupError: an item has more responses than `judge.list_size`.
            ConfigError: the folder is in use, cannot be written, or holds trajectories sampled with something else.
        """
        config = self.config.model_copy(update={"meta_rm": None})
        check_sizes(wanted, config)
        manifest = {
            "model": model_name(config.engine),
            **fingerprint(config),
            "items": digest([item.to_json() for item in items]),
            "samples": self.samples,
            "hinted": self.hinted,
            "templates": self.prompts.digest,
            "single_template": self.prompts.single_digest,
            "seed": self.seed,
        }
        console = Console(stderr=True)
        with TrajectoryStore(folder, manifest) as store:
            meter = TrajectoryMeter(console, len(wanted), sum(item.id in store.done for item in wanted), self.rules)
            run: Run[Item, ItemTrajectories] = Run(store, meter, concurrency)
            ended = run.carry_out(partial(self._collect_all, run, config, wanted))
        console.print(f"{folder}: {meter.summary}", soft_wrap=True, markup=False, highlight=False)
        if not ended.reason:
            return ended.status
        reason = f"{ended.missing:,} items have no trajectories: {ended.reason}" if ended.missing else ended.reason
        console.print(f"{reason}. The same command goes on.", soft_wrap=True, markup=False, highlight=False)
        # Where the last item was the one too many that cannot be read, all have trajectories, and no row can be made.
        return ended.status or FAILED

    async def _collect_all(self, run: Run[Item, ItemTrajectories], config: Config, items: Sequence[Item]) -> None:
        with running_engines(config) as (generator, _):
            collector = TrajectoryCollector(config, self.prompts, generator, self.samples, self.hinted, self.seed)
            await run.process(items, collector.trajectories_of, collector.check_readable)

    def write(
        self,
        items: Sequence[Item],
        folder: Path,
        file_format: str,
        general: Sequence[Path],
        left_out: Mapping[str, int],
    ) -> None:
        """Write training rows and report.json beside the trajectories of these items, and print the report.

        Args:
            items: those to train on.
            folder: holds their trajectories.
            file_format: `jsonl` or `parquet`.
            general: files of general instruction data to mix in.
            left_out: fault -> number of items that are not among them, for the report.

        Raises:
            EngineError: not one trajectory is kept.
            ConfigError, WireError: a file cannot be read or written.
        """
        ids = {item.id for item in items}
        records = (record for record in read_trajectories(folder) if record.id in ids)
        report = write_training_file(folder / f"sft.{file_format}", records, self.rules, general, self.seed)
        report.left_out.update(left_out)
        write_report(folder / "report.json", report)
        Console().print(report.table())
