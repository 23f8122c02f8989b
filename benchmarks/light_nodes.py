"""Many nodes in one process, each with its own connection: ``python light_nodes.py HOST:PORT CA.crt NODES``."""

import argparse
import signal
import threading
from pathlib import Path

from eafl_flower.node.bundles import Apps
from eafl_flower.node.link import Link
from eafl_flower.node.serving import NodeAtWork


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("superlink", help="HOST:PORT of the Fleet API")
    parser.add_argument("ca", type=Path, help="certificate of its authority")
    parser.add_argument("nodes", type=int)
    parser.add_argument("--poll-s", type=float, default=0.1, help="pause between two questions of a node [s]")
    arguments = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    link = Link(superlink=arguments.superlink, root_certificates=arguments.ca)
    with Apps() as apps:
        nodes = [
            NodeAtWork(
                {"partition-id": index, "num-partitions": arguments.nodes}, apps, poll_s=arguments.poll_s, stop=stop
            )
            for index in range(arguments.nodes)
        ]
        threads = [threading.Thread(target=node.serve, args=(link,)) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answered, errors = sum(node.answered for node in nodes), sum(node.errors for node in nodes)
    print(f"{answered} answered, {errors} by an error")


if __name__ == "__main__":
    main()
