"""Bring a million lines to CloudWatch Logs and S3 as moto plays them, and read all back: ``moto.py LINES [STREAMS]``.

The lines lie in as many captured streams, in equal parts, and are shipped by ``logflume ship`` to both. They are read
back by boto3: the events of each log stream from the service's own pages, the objects by their names. ``lost``,
``doubled`` and ``disordered`` are of the lines there; ``manifests`` says how many streams have one that names their
end.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import BUILD, LOGFLUME
from tests.moto_server import moto

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP, BUCKET = "g", "bucket"
NUMBER = re.compile(rb"^\d{15}", re.MULTILINE)
BLOCK_LINES = 10_000


def main() -> None:
    """Ship and read back once."""
    lines = int(sys.argv[1])
    streams = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    BUILD.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=BUILD))
    try:
        names = write(folder, lines, streams)
        with moto() as address:
            print(json.dumps(measure(folder, names, lines // streams, address)))
    finally:
        shutil.rmtree(folder)


def write(folder: Path, lines: int, streams: int) -> list[str]:
    """Write numbered lines of 100 bytes; return the names of the files."""
    names = [f"part{number}.log" for number in range(streams)]
    for name in names:
        with (folder / name).open("wb") as file:
            for start in range(0, lines // streams, BLOCK_LINES):
                end = min(start + BLOCK_LINES, lines // streams)
                file.write(b"".join(b"%015d %083d\n" % (number, 0) for number in range(start, end)))
    return names


def measure(folder: Path, names: list[str], count: int, address: str) -> dict[str, float]:
    """Ship all, and compare what is there."""
    aws = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "eu-west-1"}
    os.environ.update({**aws, "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true"})
    import boto3

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    begun_s = time.monotonic()
    sinks = ["--sink", f"cloudwatch:{GROUP}:{{stream}}", "--sink", f"s3://{BUCKET}/logs"]
    subprocess.run([LOGFLUME, "ship", folder, *sinks], check=True)
    shipped_s = time.monotonic() - begun_s
    logs = boto3.client("logs")
    there = Seen(count)
    objects = Seen(count)
    for name in names:
        there.take(events(logs, name))
        objects.take(parts(s3, name))
    size = count * 100
    return {
        "seconds": shipped_s,
        "read_back_s": time.monotonic() - begun_s - shipped_s,
        **{f"cloudwatch_{key}": value for key, value in vars(there).items() if key != "count"},
        **{f"s3_{key}": value for key, value in vars(objects).items() if key != "count"},
        "manifests_missing": sum(manifest(s3, name).get("end") != size for name in names),
    }


class Seen:
    """What came of streams that should have lines 0 to ``count`` each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.lost = self.doubled = self.disordered = 0

    def take(self, numbers: Iterator[int]) -> None:
        """Compare one stream."""
        found = list(numbers)
        different = len(set(found))
        self.lost += self.count - different
        self.doubled += len(found) - different
        self.disordered += sum(later < earlier for earlier, later in itertools.pairwise(found))


def events(logs: Any, stream: str) -> Iterator[int]:  # noqa: ANN401 - boto3 makes its classes as it runs
    """Yield the numbers of all lines of a log stream, in its order."""
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True, **token)
        if not page["events"]:
            return
        for event in page["events"]:
            yield int(event["message"][:15])
        token = {"nextToken": page["nextForwardToken"]}


def parts(s3: Any, stream: str) -> Iterator[int]:  # noqa: ANN401 - as above
    """Yield the numbers of all lines of the objects of a stream, by their names."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"logs/{stream}/"):
        for key in sorted(each["Key"] for each in page["Contents"] if each["Key"].endswith(".log")):
            body: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            yield from map(int, NUMBER.findall(body))


def manifest(s3: Any, stream: str) -> dict[str, Any]:  # noqa: ANN401 - as above
    """Return the manifest of a stream."""
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"logs/{stream}/")
    key = next(each["Key"] for each in page["Contents"] if each["Key"].endswith("/manifest.json"))
    found: dict[str, Any] = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    return found


if __name__ == "__main__":
    main()
