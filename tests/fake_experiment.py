"""An experiment that trains nothing: it tells an observer a plausible, deterministic story."""

import time

import numpy as np

from eafl_flower.app.resuming import provenance_of
from eafl_flower.baselines.cache import collect_baselines
from eafl_flower.core.rng import generator
from eafl_flower.core.scores import ACCURACY
from eafl_flower.results.summary import Outcome, summarize
from eafl_flower.types import digest


def run_experiment(experiment, *, run_dir, observer, engine, resume, ray_address):
    """As ``eafl_flower.app.experiment.run_experiment``; a delay comes from ``job.deadline-s``."""
    config = experiment.config
    clients = config.data.clients - config.data.unseen
    rng = generator(config.seed, "fake")
    raw, merges = 6528, config.strategy.merges
    head = {"clients": clients, "in_flight": clients, "merges_planned": merges, "parameters": 1632, "raw_bytes": raw}
    start = 0
    if resume:
        start = int((run_dir.checkpoint_dir / "merge.txt").read_text())
        lines = int((run_dir.checkpoint_dir / "lines.txt").read_text())
        observer.write({"event": "resume", **head, "merge": start, "time_s": 0.1 * start, "events": lines})
    else:
        observer.write({"event": "start", **head})
    counters = [0] * clients
    arrays = {"0": np.arange(6, dtype=np.float32).reshape(2, 3), "1": np.zeros(3, np.float32)}
    metrics, time_s, energy_j, lost = {}, 0.0, 0.0, 0
    for merge in range(1, merges + 1):
        client = int(rng.integers(clients))
        counters[client] += 1
        time_s += float(rng.exponential(0.1))
        staleness = int(min(merge - 1, rng.poisson(clients - 1)))
        joules = float(rng.uniform(1e-3, 9e-3))
        energy_j += joules
        if merge <= start:
            continue
        event = {"event": "merge", "merge": merge, "time_s": time_s, "wall_s": time.perf_counter(), "client": client}
        event |= {"counter": counters[client], "base_version": merge - 1 - staleness, "staleness": staleness}
        event |= {"weight": 0.8 * 2 ** (-staleness / 8), "num_examples": 45, "uplink_bytes": raw // 4 + 40}
        event |= {"uplink_framed_bytes": raw // 4 + 200, "downlink_bytes": raw // 4 + 44, "raw_bytes": raw}
        event |= {"downlink_framed_bytes": raw // 4 + 250, "energy_j": joules, "metrics": {"loss": 1 / merge}}
        observer.write(event)
        time.sleep(config.job.deadline_s)
        if merge % 37 == 0:
            lost += 1
            observer.write({"event": "lost", "time_s": time_s, "client": client, "counter": counters[client] + 1})
        if config.name == "troubled" and merge % 20 == 0:
            reason = "CUDA out of memory: tried [bold]2 GiB"
            observer.write({"event": "error", "time_s": time_s, "client": client, "counter": 9, "reason": reason})
        every = config.evaluate.every or merges
        if merge % every == 0 or merge == merges:
            learned = 1 - np.exp(-merge / 150)
            scores = {"before": 0.40 + 0.35 * learned, "after": 0.5 + 0.28 * learned, "unseen": 0.4 + 0.36 * learned}
            metrics = {
                f"accuracy-{name}": float(value + generator(config.seed, "score", merge).normal(0, 0.004))
                for name, value in scores.items()
            }
            observer.write({"event": "evaluate", "merge": merge, "time_s": time_s, "metrics": metrics})
        if config.checkpoint.every and merge % config.checkpoint.every == 0:
            observer.write({"event": "checkpoint", "merge": merge, "time_s": time_s})
            run_dir.checkpoint_dir.mkdir(exist_ok=True)
            run_dir.checkpoint_path.touch()
            (run_dir.checkpoint_dir / "merge.txt").write_text(str(merge))
            (run_dir.checkpoint_dir / "lines.txt").write_text(str(run_dir.log.position()))
        if config.name == "interrupted" and not resume and merge == 2 * merges // 3:
            raise KeyboardInterrupt
    observer.write({"event": "stop", "merge": merges, "time_s": time_s, "reason": "all merges made"})

    def named(found):
        return {
            name: {metric: value for metric, value in zip(ACCURACY.metrics, values, strict=False) if value}
            for name, values in found.items()
        }

    def cheap():
        return named({"majority": (0.62, 0.62, 0.60), "lookup": (0.66, None, 0.65)})

    def trained():
        return named({"no_communication": (0.667, 0.69), "exact": (0.758, None, 0.784), "pooled": (0.8, 0.81, 0.79)})

    outcome = Outcome(
        merges=merges, lost=lost, virtual_time_s=time_s, wall_s=1.0, uplink_bytes=merges * (raw // 4 + 40),
        downlink_bytes=merges * (raw // 4 + 44), uplink_framed_bytes=merges * (raw // 4 + 200), energy_j=energy_j,
        downlink_framed_bytes=merges * (raw // 4 + 250), metrics=metrics, arrays_sha256=digest(tuple(arrays.values())),
    )  # fmt: skip
    which, provenance = config.results.baselines.replace("auto", "all"), provenance_of(experiment)
    data_sha256 = provenance.data.sha256
    summary = summarize(
        outcome, run_dir.events(), name=config.name, seed=config.seed, engine=engine,
        provenance=provenance,
        baselines=collect_baselines(which, config=config, data_sha256=data_sha256, cheap=cheap, trained=trained),
    )  # fmt: skip
    run_dir.write_model(arrays, {"merges": str(merges)})
    run_dir.write_summary(summary)
    return summary
