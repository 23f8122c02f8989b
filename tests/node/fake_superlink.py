"""The Fleet API of a SuperLink without anything behind it: messages are put in, replies are taken out."""

import queue
from concurrent.futures import ThreadPoolExecutor

import grpc
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto import fab_pb2, fleet_pb2, fleet_pb2_grpc, heartbeat_pb2, message_pb2, run_pb2
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from eafl_flower.engines.flower_internals import become_server, set_message_id

NODE = 77


class FakeSuperLink(fleet_pb2_grpc.FleetServicer):
    """Knows one node at a time; ``replies`` are what it answered."""

    def __init__(self, port=0):
        self.port, self.bundles, self.calls, self.known = port, {}, [], False
        self.waiting, self.replies = queue.SimpleQueue(), queue.SimpleQueue()
        self._objects, self._expected = {}, {}
        become_server(run_id=1)
        self._server = None

    def __enter__(self):
        self._server = grpc.server(ThreadPoolExecutor(4))
        fleet_pb2_grpc.add_FleetServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def __exit__(self, *error):
        self._server.stop(0).wait()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def send(self, content, kind="train", *, run_id=1, bundle=b""):
        """Put a message of a run with this bundle where the node finds it, and return its id."""
        become_server(run_id=run_id)
        self.bundles[run_id] = bundle
        message = Message(content, NODE, kind)
        set_message_id(message, message.object_id)
        self._objects.update({key: value.deflate() for key, value in get_all_nested_objects(message).items()})
        tree = get_object_tree(message)
        self.waiting.put((message_to_proto(remove_content_from_message(message)), tree))
        return message.metadata.message_id

    def reply(self, timeout_s=20):
        """Return the next reply."""
        return self.replies.get(timeout=timeout_s)

    def RegisterNode(self, request, context):
        self.calls.append("register")
        return fleet_pb2.RegisterNodeFleetResponse(node_id=NODE)

    def ActivateNode(self, request, context):
        self.calls.append("activate")
        self.known = True
        return fleet_pb2.ActivateNodeResponse(node_id=NODE)

    def DeactivateNode(self, request, context):
        self.calls.append("deactivate")
        return fleet_pb2.DeactivateNodeResponse()

    def UnregisterNode(self, request, context):
        self.calls.append("unregister")
        return fleet_pb2.UnregisterNodeFleetResponse()

    def SendNodeHeartbeat(self, request, context):
        return heartbeat_pb2.SendNodeHeartbeatResponse(success=self.known)

    def PullMessages(self, request, context):
        if not self.known:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid node ID")
        try:
            message, tree = self.waiting.get_nowait()
        except queue.Empty:
            return fleet_pb2.PullMessagesResponse()
        return fleet_pb2.PullMessagesResponse(messages_list=[message], message_object_trees=[tree])

    def PullObject(self, request, context):
        content = self._objects.get(request.object_id)
        return message_pb2.PullObjectResponse(
            object_found=content is not None, object_available=True, object_content=content or b""
        )

    def ConfirmMessageReceived(self, request, context):
        return message_pb2.ConfirmMessageReceivedResponse()

    def GetRun(self, request, context):
        if request.run_id not in self.bundles:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "run has finished")
        run = run_pb2.Run(run_id=request.run_id, fab_id="tests/app", fab_version="1.0.0", series_id=request.run_id)
        return run_pb2.GetRunResponse(run=run)

    def GetFab(self, request, context):
        return fab_pb2.GetFabResponse(fab=fab_pb2.Fab(content=self.bundles[request.run_id]))

    def PushMessages(self, request, context):
        message, tree = request.messages_list[0], request.message_object_trees[0]
        needed = {part.object_id for part in iterate_object_tree(tree)}
        self._expected = {"message": message, "id": tree.object_id, "needed": needed, "contents": {}}
        return fleet_pb2.PushMessagesResponse(objects_to_push=needed, session_id="s")

    def PushObject(self, request, context):
        self._expected["contents"][request.object_id] = request.object_content
        if self._expected["contents"].keys() == self._expected["needed"]:
            told = message_from_proto(self._expected["message"])
            whole = inflate_object_from_contents(self._expected["id"], dict(self._expected["contents"]))
            assert whole.metadata.reply_to_message_id == told.metadata.reply_to_message_id
            self.replies.put(whole)
        return message_pb2.PushObjectResponse(stored=True)
