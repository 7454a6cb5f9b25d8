"""Calls a server knowing nothing but its address: what it serves, it tells itself.

Arguments: HOST:PORT and an admin token. Prints one JSON object: the services, the methods of BuildService, and what
its ListBuilds answers.
"""

import json
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

target, token = sys.argv[1:]
# Whatever proxy the environment names, it does not lead to loopback.
with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
    database = ProtoReflectionDescriptorDatabase(channel)
    services = sorted(database.get_services())
    builds = DescriptorPool(database).FindServiceByName("tidegate.v1.BuildService")
    method = builds.methods_by_name["ListBuilds"]
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{builds.full_name}/{method.name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    answer = call(request(page_size=10), metadata=[("authorization", f"Bearer {token}")], timeout=10)
    try:
        call(request(page_size=-1), metadata=[("authorization", f"Bearer {token}")], timeout=10)
        refusal = None
    except grpc.RpcError as error:
        refusal = [error.code().name, error.details()]

print(
    json.dumps(
        {
            "services": services,
            "methods": sorted(builds.methods_by_name),
            "answer": MessageToDict(answer, preserving_proto_field_name=True),
            "refusal": refusal,
        }
    )
)
