"""Exit 0 if the process behind a health server of Flower serves (gRPC health checking, version 1).

It says that the process answers, not that its ClientApp does: `eafl` and the SuperLink's log tell about that.
"""

import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

with grpc.insecure_channel(sys.argv[1]) as channel:
    answer = HealthStub(channel).Check(HealthCheckRequest(), timeout=5)
sys.exit(answer.status != HealthCheckResponse.SERVING)
