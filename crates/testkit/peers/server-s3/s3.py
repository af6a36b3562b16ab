"""An S3 with one empty bucket, imitated by moto. Prints its port; ends with its standard input."""

import json
import logging
import sys

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[2]), verbose=False)
server.start()
_, port = server.get_host_and_port()
client = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="us-east-1",
    aws_access_key_id="testing",
    aws_secret_access_key="testing",
)
client.create_bucket(Bucket=sys.argv[1])
print(json.dumps({"port": port}), flush=True)
# `keys` is answered with the names of all objects.
for line in sys.stdin:
    found = client.list_objects_v2(Bucket=sys.argv[1]).get("Contents", [])
    print(json.dumps({"keys": [entry["Key"] for entry in found]}), flush=True)
server.stop()
