"""A public gRPC client: health with and without a certificate, and the sync stream.

Arguments: address, the hub's name, root (hex DER), chain (hex DER, comma-separated). The TLS key
comes in TLS_KEY_PEM. Messages are encoded by hand, so only grpcio is needed.
"""

import base64
import os
import sys
import textwrap

import grpc


def pem(der_hex):
    body = base64.b64encode(bytes.fromhex(der_hex)).decode()
    lines = "\n".join(textwrap.wrap(body, 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()


address, name, root, chain = sys.argv[1:5]
root_pem = pem(root)
chain_pem = b"".join(pem(one) for one in chain.split(","))
key_pem = os.environ["TLS_KEY_PEM"].encode()
options = [("grpc.ssl_target_name_override", name)]
raw = {"request_serializer": bytes, "response_deserializer": bytes}
service = b"taizhang.sync.v1.Sync"
check = b"\x0a" + bytes([len(service)]) + service


def health(credentials):
    with grpc.secure_channel(address, credentials, options) as channel:
        call = channel.unary_unary("/grpc.health.v1.Health/Check", **raw)
        return call(check, timeout=10)


with_certificate = grpc.ssl_channel_credentials(root_pem, key_pem, chain_pem)
reply = health(with_certificate)
print("health with certificate:", "SERVING" if reply == b"\x08\x01" else reply)

try:
    print("health without certificate:", health(grpc.ssl_channel_credentials(root_pem)))
except grpc.RpcError as error:
    print("health without certificate: refused", error.code().name)

with grpc.secure_channel(address, with_certificate, options) as channel:
    call = channel.stream_stream("/taizhang.sync.v1.Sync/Sync", **raw)
    try:
        first = next(call(iter([]), timeout=10))
        print("sync: answered", len(first), "bytes")
    except (grpc.RpcError, StopIteration) as error:
        code = error.code().name if isinstance(error, grpc.RpcError) else "closed"
        print("sync:", code)
