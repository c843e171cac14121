#!/usr/bin/env python3
"""Asks a Potluck cluster over gRPC and prints the answer as it comes.

    protoc -I proto --python_out=. --grpc_out=. --plugin=protoc-gen-grpc="$(command -v grpc_python_plugin)" \\
        potluck/v1/inference.proto
    PYTHONPATH=. docs/clients/python/chat.py 127.0.0.1:7072 "What goes with leeks?"
"""

import argparse
import os
import sys

import grpc
from potluck.v1 import inference_pb2 as pb
from potluck.v1 import inference_pb2_grpc


def connect(address, certificate):
    if certificate is None:
        return grpc.insecure_channel(address)
    with open(certificate, "rb") as file:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="HOST:PORT of `potluck up --grpc`")
    parser.add_argument("question")
    parser.add_argument("--model", default="", help="default: the one that was loaded first")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--tls", metavar="FILE", help="PEM of the authority that has signed the cluster's certificate")
    parser.add_argument("--timeout", type=float, default=300, help="seconds")
    options = parser.parse_args()

    key = os.environ.get("POTLUCK_API_KEY")
    metadata = [("authorization", f"Bearer {key}")] if key else []
    with connect(options.address, options.tls) as channel:
        inference = inference_pb2_grpc.InferenceStub(channel)
        request = pb.ChatRequest(model=options.model, messages=[pb.ChatMessage(role="user", content=options.question)],
                                 options=pb.AnswerOptions(max_tokens=options.max_tokens))
        try:
            for event in inference.Chat(request, metadata=metadata, timeout=options.timeout):
                if event.HasField("piece"):
                    print(event.piece.text, end="", flush=True)
                elif event.HasField("ended"):
                    ended = event.ended
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
    print()
    print(f"{ended.generated_tokens} tokens in {ended.generation_seconds:.2f} s after {ended.prompt_seconds:.2f} s "
          f"for {ended.prompt_tokens} of the prompt", file=sys.stderr)
    for stage in ended.stages:
        print(f"  {stage.worker} {stage.device}, layers {stage.layers[0]} to {stage.layers[1]}: "
              f"{stage.computing_seconds:.2f} s computing", file=sys.stderr)


if __name__ == "__main__":
    main()
